"""Exit codes of `lnt`, the same for every command."""

import signal

EXIT_DONE = 0
EXIT_FAILED = 1
"""Some trials failed, something was not logged, or the disk is full; finished trials are kept."""
EXIT_REFUSED = 2
"""The input is invalid, or a server does not answer; nothing was started."""
EXIT_NO_ACCESS = 4
"""Ray or MLflow requires a token or password, or rejects the one given."""
EXIT_INTERRUPTED = 130
"""Interrupted by Ctrl-C (SIGINT); the sweep can be resumed."""
EXIT_TERMINATED = 143
"""Interrupted by SIGTERM; the sweep can be resumed."""
EXIT_HUNG_UP = 129
"""Interrupted by SIGHUP, when the terminal closed; the sweep can be resumed."""
EXIT_BY_SIGNAL = {
    signal.SIGINT: EXIT_INTERRUPTED,
    signal.SIGTERM: EXIT_TERMINATED,
    signal.SIGHUP: EXIT_HUNG_UP,
}
