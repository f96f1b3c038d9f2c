"""Runs one trial of tuning a vision-language model, as a library without Ray or MLflow."""

__version__ = "0.1.0"
