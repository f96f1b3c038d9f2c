"""Hyperparameter search over many trials, and the `lnt` command."""
