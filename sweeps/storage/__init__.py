"""What one execution keeps on disk, and what `--resume` goes on from.

Public face: `execution.Execution`, `execution.Result`, `events.EventLog`,
`extra_trials.ExtraTrial`, `full_disk.DiskFullError`.
"""
