"""A tracking store with two sweeps without trials."""

import pytest

from sweeps.storage.format import FORMAT
from sweeps.tracking.store import connect, experiment_id


@pytest.fixture(scope="session")
def uri(new_store, tmp_path_factory) -> str:
    uri = new_store(tmp_path_factory.mktemp("two"))
    client = connect(uri)
    for name in ("demo", "flickr8k"):
        tags = {"lnt.kind": "sweep", "lnt.format": str(FORMAT)}
        client.create_run(experiment_id(client, name), tags=tags)
    return uri
