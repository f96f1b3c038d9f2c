"""Writes a sweep to MLflow, however often the server is unreachable.

Public face: `store.connect`, `tracker.Tracker`, `runs.TrialRun`,
`requests.Request`, `requests.ask`, `provenance.provenance_tags`.
"""
