"""A full disk: found out from what the writer raises, whichever library it is."""

import errno

from lnt_core.errors import LntError

FULL = (errno.ENOSPC, errno.EDQUOT)
TEXTS = ("No space left on device", "PytorchStreamWriter failed", "Disk quota exceeded")


class DiskFullError(LntError):
    """Nothing can be written where the sweep keeps its trials."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether it, or what it was raised from, is for want of disk space."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(text in str(error) for text in TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False


def disk_full(path: object) -> DiskFullError:
    """The error that ends the sweep."""
    return DiskFullError(
        f"the disk of {path} is full; finished trials are kept. Free some space, then go on with "
        "--resume"
    )
