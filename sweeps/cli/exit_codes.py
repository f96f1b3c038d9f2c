"""Exit codes of `lnt`, the same for every command."""

EXIT_DONE = 0
EXIT_FAILED = 1
"""Some trials failed, or the disk is full; finished trials are kept."""
EXIT_REFUSED = 2
"""The input is invalid, or a server does not answer; nothing was started."""
EXIT_NO_ACCESS = 4
"""Ray or MLflow requires a token or password, or rejects the one given."""
EXIT_INTERRUPTED = 130
"""Interrupted by Ctrl-C; the sweep can be resumed."""
