"""From sweep file to trials and what each would cost; starts nothing.

Public face: `load.load_sweep`, `checks.check_sweep`, `planned.plan`, `space.trials`,
`space.trial_config`, `labels`.
"""
