"""The exception tree, and the helpers that word a problem for people.

LntError
├── ConfigError   the sweep or trial file, or what it points to, is wrong (exit 2, nothing started)
├── AccessError   a service wants a token or password, or refuses the one given (exit 4)
├── DataError     data that looked right when checked turned out not to be
└── TrialError    this trial cannot go on; the sweep does
"""

import difflib
from collections.abc import Iterable


class LntError(Exception):
    """Base of every error that is worded for people and shown without a traceback."""


class ConfigError(LntError):
    """What the user asked for cannot be run; says what to change."""


class AccessError(LntError):
    """A service lets nobody in without a token or password, or not with this one."""


class DataError(LntError):
    """A file passed the checks and still cannot be used."""


class TrialError(LntError):
    """One trial failed; the others go on."""


def nearest(got: object, allowed: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` for the closest allowed name, or an empty string."""
    near = difflib.get_close_matches(str(got), list(allowed), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def bad_field(field: str, got: object, *, allowed: str | Iterable[str], fix: str = "") -> str:
    """One line that says which field, which value, what is allowed and how to mend it.

    Example:
        >>> bad_field("split", "tst", allowed=["val", "test"])
        "split is 'tst', but must be one of 'val', 'test'; did you mean 'test'?"
    """
    if not isinstance(allowed, str):
        names = list(allowed)
        fix = " ".join(filter(None, (nearest(got, names), fix)))
        allowed = "one of " + ", ".join(map(repr, names))
    return f"{field} is {got!r}, but must be {allowed}" + (f"; {fix}" if fix else "")


def all_problems(where: str, problems: Iterable[str]) -> ConfigError:
    """Every problem of one file in one error."""
    lines = list(dict.fromkeys(problems))
    head = f"{where}: {len(lines)} problem" + ("s" if len(lines) != 1 else "")
    return ConfigError("\n".join([head, *(f"  {line}" for line in lines)]))
