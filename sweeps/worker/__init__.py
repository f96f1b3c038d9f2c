"""Runs one trial inside Ray's processes.

Public face: `context.Context`, `trainable.run_sweep_trial`, `base.run_base`,
`process.worker_for`, `placement`.
"""
