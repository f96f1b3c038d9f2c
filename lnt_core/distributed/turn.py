"""Only one process, or group of workers, makes a file of the cache; others wait for it."""

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lnt_core.distributed.ranks import gather, is_first
from lnt_core.errors import ConfigError
from lnt_core.paths import shown

logger = logging.getLogger(__name__)
POLL_S = 1.0
"""Seconds between two attempts to get the lock."""


@contextmanager
def turn(path: Path, *, alone: bool = False) -> Iterator[None]:
    """Hold the lock of a file that is about to be made; wait while another process holds it.

    The lock ends with the process that holds it, however that ends.

    Args:
        path: The file or folder; the lock is ``<stem>.lock`` beside it, and gone afterwards.
        alone: Each worker of a trial waits for its own turn. By default rank 0 holds the lock for
            all of them, which must all call this.

    Raises:
        ConfigError: The file system has no locks.
    """
    lock, held, waited = path.with_suffix(".lock"), None, False
    asks = alone or is_first()
    while True:
        held = _locked(lock) if asks else None
        has_it = held is not None
        if has_it if alone else gather(has_it)[0]:  # polled: a collective that waits would time out
            break
        if asks and not waited:
            logger.info("waiting for another process, which makes %s", shown(path))
        waited = True
        time.sleep(POLL_S)
    try:
        yield
    finally:
        if held is not None:
            lock.unlink(missing_ok=True)
            os.close(held)


def _locked(lock: Path) -> int | None:
    """The descriptor of a lock file that this process has locked; None if another one has."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock.stat().st_ino == os.fstat(held).st_ino:  # else its holder has just deleted it
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        os.close(held)
        raise ConfigError(
            f"{shown(lock)} cannot be locked ({error.strerror}): set LNT_CACHE to a folder on a "
            "file system with locks"
        ) from error
    os.close(held)
    return None
