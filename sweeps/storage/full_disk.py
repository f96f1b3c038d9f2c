"""Detects a full disk from the errors that Python and other libraries raise."""

from lnt_core.errors import LntError
from lnt_core.files import DISK_FULL

TEXTS = (
    "No space left on device",
    "PytorchStreamWriter failed",
    "Disk quota exceeded",
    "database or disk is full",  # SQLite
)


class DiskFullError(LntError):
    """The disk that stores the sweep's trials is full."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, was raised because the disk or a quota is full."""
    while error is not None:
        if isinstance(error, DiskFullError):
            return True
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            return True
        if any(text in str(error) for text in TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(path: object) -> DiskFullError:
    """The error that ends a sweep whose storage is at ``path``."""
    return DiskFullError(
        f"the disk of {path} is full; finished trials are kept. Free some space, then continue "
        "with --resume"
    )
