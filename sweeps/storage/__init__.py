"""Files of an execution of a sweep on disk, from which `--resume` continues.

Public interface: `execution.Execution`, `execution.Result`, `trials.add_trial`,
`trials.read_trial`, `events.EventLog`, `mending.mend`, `notices.noted`,
`full_disk.DiskFullError`.
"""
