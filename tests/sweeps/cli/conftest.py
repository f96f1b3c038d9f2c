"""A tracking store with two sweeps without trials."""

import pytest

from sweeps.storage.format import FORMAT
from sweeps.tracking.store import connect, experiment_id


@pytest.fixture(scope="session")
def uri(tmp_path_factory) -> str:
    uri = f"sqlite:///{tmp_path_factory.mktemp('two') / 'mlflow.db'}"
    client = connect(uri)
    for name in ("demo", "flickr8k"):
        tags = {"lnt.kind": "sweep", "lnt.format": str(FORMAT)}
        client.create_run(experiment_id(client, name), tags=tags)
    return uri
