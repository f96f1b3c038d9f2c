"""Real Ray clusters with token authentication, and the tracking server that they write to."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.cluster.raylets import Cluster
from tests.cluster.sweeps import CHANGES, SubmittedSweep
from tests.e2e.conftest import Sweep
from tests.servers import mlflow_server, postgres


@contextlib.contextmanager
def running(cluster: Cluster) -> Iterator[Cluster]:
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """One node that does everything."""
    with running(Cluster(tmp_path_factory.mktemp("head"))) as cluster:
        cluster.start_head(num_cpus=2)
        yield cluster


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory):
    """A head that runs drivers, and two nodes that run trials."""
    with running(Cluster(tmp_path_factory.mktemp("three"))) as cluster:
        cluster.start_head()
        cluster.add_node("127.0.0.3")
        cluster.add_node("127.0.0.4")
        yield cluster


@pytest.fixture(scope="session")
def local(tmp_path_factory, cache, micro) -> Sweep:
    """The same sweep, run here and undisturbed."""
    sweep = Sweep(tmp_path_factory.mktemp("local") / "sweep", cache, **(micro | CHANGES))
    sweep.lnt("run", "sweep.yaml")
    return sweep


@pytest.fixture
def submitted(tracking, cache, micro, tmp_path):
    """Makes a sweep of the micro model for a cluster, in a folder of its own."""

    def make(folder: str, cluster: Cluster, **changes) -> SubmittedSweep:
        content = micro | CHANGES | {"name": folder} | changes
        return SubmittedSweep(tmp_path / folder, cluster, tracking, cache, **content)

    return make


@pytest.fixture(scope="session")
def database():
    """PostgreSQL; its address without a database."""
    with postgres() as address:
        yield address


@pytest.fixture(scope="session")
def tracking(tmp_path_factory, database):
    """MLflow behind a password, on PostgreSQL."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), postgres=database) as server:
        yield server
