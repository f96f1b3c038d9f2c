"""The exception hierarchy, and helpers that format error messages.

LntError
├── ConfigError   the sweep or trial file, or a file it names, is invalid (exit 2, nothing started)
├── AccessError   a service requires a token or password, or rejects the one given (exit 4)
├── DataError     data that passed the checks turned out to be unusable
├── DamagedError  a file that this package wrote is not as it was written
└── TrialError    this trial cannot continue; the sweep does
"""

import difflib
from collections.abc import Iterable
from pathlib import Path

from lnt_core.paths import shown


class LntError(Exception):
    """Base class of errors whose message is meant for the user and shown without a traceback."""


class ConfigError(LntError):
    """What the user asked for cannot be run; the message says what to change."""


class AccessError(LntError):
    """A service requires a token or password, or rejected the one given."""


class DataError(LntError):
    """A file passed the checks but cannot be used."""


class DamagedError(LntError):
    """A file of an execution or the cache is not as it was written.

    Args:
        path: The file.
        why: What is wrong with it.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.why})"


class TrialError(LntError):
    """One trial failed; the others continue."""


def nearest(got: object, allowed: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` for the closest allowed name, or an empty string."""
    near = difflib.get_close_matches(str(got)[:100], list(allowed), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def bad_field(field: str, got: object, *, allowed: str | Iterable[str], fix: str = "") -> str:
    """One line that names a field, its value, what is allowed and how to fix it.

    Example:
        >>> bad_field("split", "tst", allowed=["val", "test"])
        "split is 'tst', but must be one of 'val', 'test'; did you mean 'test'?"
    """
    if not isinstance(allowed, str):
        names = list(allowed)
        fix = " ".join(filter(None, (nearest(got, names), fix)))
        allowed = "one of " + ", ".join(map(repr, names))
    return f"{field} is {shown(repr(got))}, but must be {allowed}" + (f"; {fix}" if fix else "")


def all_problems(where: str, problems: Iterable[str]) -> ConfigError:
    """One error that lists every problem of one file; ``where`` names the file."""
    lines = list(dict.fromkeys(problems))
    head = f"{where}: {len(lines)} problem" + ("s" if len(lines) != 1 else "")
    return ConfigError("\n".join([head, *(f"  {line}" for line in lines)]))
