import errno
import fcntl
import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from lnt_core.errors import ConfigError
from sweeps.tracking.sqlite_lock import sqlite_lock
from sweeps.tracking.store import connect

pytestmark = pytest.mark.heavy

PROCESSES, TIMES = 4, 10


def connect_together(barrier, folders) -> None:
    """To a new database in each folder, by its absolute and by its relative path in turn."""
    for number, folder in enumerate(folders):
        os.chdir(folder)
        relative = (os.getpid() + number) % 2
        barrier.wait()
        connect("sqlite:///mlflow.db" if relative else f"sqlite:///{folder}/mlflow.db")


def test_many_create_a_store_at_once(tmp_path) -> None:
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  once, not in each process

    folders = [tmp_path / str(number) for number in range(TIMES)]
    for folder in folders:
        folder.mkdir()
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(PROCESSES, timeout=120)
    processes = [
        forked.Process(target=connect_together, args=(barrier, folders)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES


def locked(path) -> bool:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_it_is_held_and_released(tmp_path) -> None:
    lock = tmp_path / "new" / "mlflow.db.lock"
    with sqlite_lock(f"sqlite:///{tmp_path}/new/mlflow.db"):
        assert locked(lock)
    assert not locked(lock)


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///:memory:", "http://mlflow:5000", "postgresql://db/x", "mlruns"]
)
def test_what_is_no_file_has_none(uri, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sqlite_lock(uri):
        assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch) -> None:
    """No such file system can be mounted here; what it answers is in flock(2)."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("sweeps.tracking.sqlite_lock.fcntl.flock", refuse)
    with pytest.raises(ConfigError) as refusal:
        connect(f"sqlite:///{tmp_path}/mlflow.db")
    assert f"the file system of {tmp_path} has no file locks" in str(refusal.value)
    assert not (tmp_path / "mlflow.db").exists()


def read_as_nobody(uri: str) -> None:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    assert [found.name for found in connect(uri).search_experiments()] == ["Default"]


def test_a_store_in_a_folder_that_is_read_only_can_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # nobody may enter pytest's folder
        folder, uri = Path(name), f"sqlite:///{name}/mlflow.db"
        connect(uri)
        (folder / "mlflow.db.lock").unlink()
        folder.chmod(0o555)
        reader = multiprocessing.get_context("fork").Process(target=read_as_nobody, args=(uri,))
        reader.start()
        reader.join()
        folder.chmod(0o755)
        assert reader.exitcode == 0
        assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
