"""A tracking store that all tests share: creating its tables takes seconds."""

import pytest


@pytest.fixture(scope="session")
def store_uri(tmp_path_factory) -> str:
    """URI of the store; the name of a sweep must be unique to its test."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def client(store_uri):
    from sweeps.tracking.store import connect

    return connect(store_uri)


@pytest.fixture
def running(client, store_uri):
    from tests.sweeps.running import RunningSweep

    return RunningSweep(client, store_uri)
