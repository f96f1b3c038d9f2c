"""Exit codes of `lnt`, the same for every command."""

EXIT_DONE = 0
EXIT_FAILED = 1
"""Some trials failed, or the disk is full; what finished is kept."""
EXIT_REFUSED = 2
"""Something is wrong with what was asked; nothing was started."""
EXIT_NO_ACCESS = 4
"""Ray or MLflow wants a token or a password, or another one."""
EXIT_INTERRUPTED = 130
"""Stopped by Ctrl-C; the sweep can be resumed."""
