"""One tracking store for all tests: the tables of a new one take seconds."""

import pytest


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory) -> str:
    """Each test takes names of sweeps that no other test takes."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def client(store_uri):
    from sweeps.tracking.store import connect

    return connect(store_uri)


@pytest.fixture
def running(client, store_uri):
    from tests.sweeps.running import RunningSweep

    return RunningSweep(client, store_uri)
