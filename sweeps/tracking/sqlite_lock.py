"""A lock beside an SQLite tracking store: MLflow creates the tables of a new one without any."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lnt_core.errors import ConfigError

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system answers that has no file locks."""
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What it answers where this user may not create a file."""


@contextmanager
def sqlite_lock(uri: str) -> Iterator[None]:
    """Hold the lock of the database that ``uri`` names, if that is an SQLite file.

    Raises:
        ConfigError: The file system of the database has no file locks.
    """
    database = sqlite_file(uri)
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)  # as MLflow does
        file = database.with_name(f"{database.name}.lock").open("w")
    except OSError as error:
        if error.errno not in READ_ONLY or not database.is_file():
            raise
        yield  # another user's store: SQLite, too, needs a file beside it to create tables
        return
    with file:
        _lock(file.fileno(), uri, database.parent)
        yield


def _lock(file: int, uri: str, folder: Path) -> None:
    """Wait for the lock; it is released when the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise ConfigError(
            f"tracking.uri is {uri!r}, but the file system of {folder} has no file locks, without "
            "which SQLite damages its file: put the database on a local disk, mount the folder "
            "with locks, or use an MLflow server (http://HOST:5000)"
        ) from None


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite database; None if ``uri`` is another store, or a database in memory."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError:  # a folder, or no URI at all: MLflow says what it makes of it
        return None
    in_a_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)).resolve() if in_a_file else None
