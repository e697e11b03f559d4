#!/bin/sh
# A whole night on Slurm: build once, shards, further attempts at what failed, one page.
#
#     docs/scale/slurm/night.sh SUITE DIRECTORY SHARDS [pytest options]
#
# DIRECTORY is shared between the nodes, and so is the kernel cache (ERRPATH_CACHE).
set -eu
suite=$1
directory=$2
shards=$3
shift 3
here=$(dirname "$0")
python=${ERRPATH_PYTHON:-python3}
night=$directory/shards/$(date +%Y%m%dT%H%M%S)
mkdir -p "$night/first"
store=$directory/history.sqlite

# Balanced by past durations; the same file for every shard.
balance=
if [ -e "$store" ]; then
    "$python" -m errpath.cli.main history --history "$store" durations > "$night/durations.json"
    balance="--durations-from $night/durations.json"
fi
# `--wait` ends with the status of the worst task; what is missing, `merge` knows better.
sbatch --wait --array="1-$shards" "$here/array.sh" "$suite" "$night/first" $balance "$@" || true

set -- "$@" --cases-from "$night/unsure"
"$python" -m errpath.cli.main merge "$night/first" --into "$night/look" --unsure "$night/unsure" \
    --job slurm > "$night/first.txt" || true
attempts=
for number in 1 2; do
    [ -s "$night/unsure" ] || break
    mkdir -p "$night/attempt$number"
    sbatch --wait --array=1-1 "$here/array.sh" "$suite" "$night/attempt$number" "$@" || true
    attempts="$attempts --attempt $night/attempt$number"
done
exec "$python" -m errpath.cli.main merge "$night/first" $attempts --into "$directory" --job slurm
