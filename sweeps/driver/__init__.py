"""Runs one sweep on Ray Tune: start, schedule, grow, obey, finish.

Public face: `run.run_sweep`; `clones.parse_changes`,
`clones.change_problems`, `clones.tunable_of`.
"""
