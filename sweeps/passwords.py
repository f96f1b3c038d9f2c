"""Passwords of tracking stores: hidden wherever a URI is shown, and where they belong instead."""

import logging
import re
import sys
import traceback
from types import TracebackType
from typing import Any

HIDDEN = "***"
"""What stands for a password, as in SQLAlchemy's own messages."""
PLACES = {
    "http": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or write them to "
    "~/.mlflow/credentials",
    "postgresql": "set PGPASSWORD, or write it to ~/.pgpass or the file that PGPASSFILE names",
    "mysql": "write it to an option file, and name that in the URI: "
    "?read_default_file=/home/me/.my.cnf",
}
"""Where a password is read from, by what a URI starts with: all by MLflow's and the databases' own
clients."""


def _pattern(*parts: str) -> re.Pattern[str]:
    return re.compile(f"(?P<before>{parts[0]}){''.join(parts[1:])}", re.IGNORECASE | re.DOTALL)


_SCHEME = r"[a-z][\w+.-]*://"
_KEY = r"(?:[?&;]|%3B)(?:ssl)?(?:password|passwd|pwd)(?:=|%3D)"
# Each up to where a password may end at the latest: hiding too much is better than too little.
_IN_URI = (_pattern(_KEY, "[^&]*"), _pattern(rf"^{_SCHEME}[^:/]*:", ".*(?=@)"))
_IN_TEXT = (
    _pattern(_KEY, r"[^&\s'\"]*"),
    _pattern(rf"{_SCHEME}[^:/\s'\"]*:", r"[^\s'\"]*(?=@)"),
)


def redacted(text: str) -> str:
    """A URI, or a text with URIs in it, with ``***`` for each password.

    A password with blanks or quotation marks is recognized only where the text starts with its URI.

    Example:
        >>> redacted("postgresql://lnt:secret@db:5432/mlflow")
        'postgresql://lnt:***@db:5432/mlflow'
        >>> redacted("no answer from https://me:secret@mlflow.lab/api, ask me@lab.org")
        'no answer from https://me:***@mlflow.lab/api, ask me@lab.org'
        >>> redacted("mysql://db/mlflow?user=lnt&password=secret")
        'mysql://db/mlflow?user=lnt&password=***'
    """
    for pattern in _IN_URI if re.match(_SCHEME, text, re.IGNORECASE) else _IN_TEXT:
        text = pattern.sub(rf"\g<before>{HIDDEN}", text)
    return text


def has_password(uri: str) -> bool:
    """Whether a URI contains a password."""
    return redacted(uri) != uri


def place_of_password(uri: str) -> str:
    """What to do so that the client of a tracking store finds its password; an imperative."""
    found = [place for start, place in PLACES.items() if uri.startswith(start)]
    return found[0] if found else "give it to the database's driver by a file of its own"


def redact_output() -> None:
    """From now on, redact what this process logs, and the traceback of an uncaught exception."""
    logging.setLogRecordFactory(_Record)
    sys.excepthook = _print_traceback


class _Record(logging.LogRecord):
    """A record whose message and traceback are redacted."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0] is not None:
            self.exc_text = redacted("".join(traceback.format_exception(*self.exc_info)).rstrip())

    def getMessage(self) -> str:  # noqa: N802  logging's name
        return redacted(super().getMessage())


def _print_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    lines = traceback.format_exception(kind, error, trace)
    print(redacted("".join(lines)), end="", file=sys.stderr)  # noqa: T201  as Python's own does
