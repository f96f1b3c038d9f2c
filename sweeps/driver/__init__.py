"""Runs one sweep on Ray Tune, from the start of Ray to the winners.

Public interface: `run.run_sweep`; `clones.parse_changes`, `clones.change_problems`,
`clones.tunable_of`.
"""
