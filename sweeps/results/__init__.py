"""Reads sweeps back from MLflow, on any machine: winners, ties, Pareto fronts, progress, reports.

Public interface: `read.read_sweep`, `selection.Sweep`, `selection.Trial`, `selection.winners`,
`comparison.compare_winners`, `progress.read_snapshot`, `report.content.gather`,
`report.write.write_report`.
"""
