"""Tracking stores: their tables, which take a second to create, are created once for all tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def new_store(shared) -> Callable[[Path], str]:
    """Makes a store without a sweep in a folder, and returns its URI."""
    from sweeps.tracking.store import connect

    made = shared / "empty" / "mlflow.db"
    with FileLock(f"{made.parent}.lock"):
        if not made.parent.exists():
            made.parent.mkdir()
            connect(f"sqlite:///{made}")

    def copy(folder: Path) -> str:
        return f"sqlite:///{shutil.copy(made, folder / 'mlflow.db')}"

    return copy


@pytest.fixture(scope="session")
def store_uri(new_store, tmp_path_factory) -> str:
    """URI of a store that all tests share; the name of a sweep must be unique to its test."""
    return new_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def client(store_uri):
    from sweeps.tracking.store import connect

    return connect(store_uri)


@pytest.fixture
def running(client, store_uri):
    from tests.sweeps.running import RunningSweep

    return RunningSweep(client, store_uri)
