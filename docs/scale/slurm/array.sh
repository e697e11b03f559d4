#!/bin/sh
# One shard of a suite per array task:
#
#     sbatch --array=1-8 docs/scale/slurm/array.sh suites/hfs RESULTS [pytest options]
#
# pytest takes its shard from SLURM_ARRAY_TASK_ID. A task whose node died is queued again and writes
# a file of its own; `errpath merge RESULTS` takes the one that is whole.
#SBATCH --job-name=errpath
#SBATCH --cpus-per-task=1
#SBATCH --time=60
#SBATCH --requeue
#SBATCH --output=errpath-%A_%a.log
#SBATCH --open-mode=append
set -eu
suite=$1
results=$2
shift 2
name=$SLURM_ARRAY_TASK_ID.${SLURM_RESTART_COUNT:-0}
exec "${ERRPATH_PYTHON:-python3}" -m pytest "$suite" -q -p no:cacheprovider \
    --results "$results/$name.jsonl" --artefacts "$results/artefacts/$name" "$@"
