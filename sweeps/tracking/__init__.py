"""Writes a sweep to MLflow, and retries while the server is unreachable.

Public interface: `store.connect`, `parent.check_parent`, `tracker.Tracker`, `runs.TrialRun`,
`requests.Request`, `requests.ask`, `provenance.provenance_tags`.
"""
