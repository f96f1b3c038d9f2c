"""Runs one trial inside Ray's processes.

Public face: `context.Context`, `trainable.run_point`, `base.base_scores`,
`process.worker_for`, `placement`.
"""
