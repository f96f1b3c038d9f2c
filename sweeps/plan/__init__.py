"""Turns a sweep file into trials and predicts what each will cost, without starting anything.

Public interface: `load.load_sweep`, `checks.check_sweep`, `planned.plan`, `trials.trials`,
`space.trial_config`, `labels`.
"""
