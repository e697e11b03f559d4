"""Results: records, sharding, merge, triage, the artefacts of a run.

In: `Result`s of the runner. Out: records that outlive their guests, and judgements over time.
"""
