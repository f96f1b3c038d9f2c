"""Reads a sweep back from MLflow, on any machine: winners, ties, fronts, progress, report.

Public face: `read.read_sweep`, `selection.Sweep`, `selection.Trial`, `selection.winners`,
`comparison.compare_winners`, `progress.read_snapshot`, `report.content.gather`,
`report.write.write_report`.
"""
