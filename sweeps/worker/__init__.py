"""Runs one trial inside Ray's processes.

Public interface: `context.Context`, `trainable.run_sweep_trial`, `base.run_base`,
`process.worker_for`, `placement`.
"""
