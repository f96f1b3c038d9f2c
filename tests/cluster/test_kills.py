"""kill -9 at random moments, again and again: what ends is the undisturbed sweep.

Each round is a sweep of its own. LNT_KILL_ROUNDS says how many there are of each kind.
"""

import os
import random
import time

import pytest

from tests.cluster.conftest import running
from tests.cluster.raylets import Cluster, kill
from tests.cluster.sweeps import NUM_STEPS, NUM_TRIALS, SubmittedSweep

pytestmark = pytest.mark.cluster
ROUNDS = range(int(os.environ.get("LNT_KILL_ROUNDS", "1")))
WORKERS = ("127.0.0.3", "127.0.0.4")


@pytest.fixture
def sweep_on(submitted, tmp_path):
    return lambda cluster: submitted(tmp_path.name.replace("_", "-"), cluster)


@pytest.fixture
def cluster(tmp_path):
    """One that can be lost."""
    with running(Cluster(tmp_path / "cluster")) as cluster:
        cluster.start_head()
        for ip in WORKERS:
            cluster.add_node(ip)
        yield cluster


class Moment:
    """A moment of a sweep, drawn by the seed: when so many of its steps are written."""

    def __init__(self, seed: str) -> None:
        self.draw = random.Random(seed)
        self.num_steps = self.draw.randrange(1, NUM_TRIALS * NUM_STEPS)

    def wait(self, sweep: SubmittedSweep, job: str) -> dict:
        """Returns what had ended then."""
        sweep.wait_until(lambda: sweep.num_steps() >= self.num_steps, job)
        return ended(sweep)


def ended(sweep: SubmittedSweep) -> dict:
    return {path: path.stat().st_mtime_ns for path in sweep.files("result.json")}


def assert_undisturbed(sweep: SubmittedSweep, before: dict, local, database: str) -> None:
    """Every step of every trial as undisturbed; nothing lost, doubled, or run again."""
    assert sweep.outcome() == local.outcome()
    after = ended(sweep)
    assert len(after) == NUM_TRIALS
    assert {path: after[path] for path in before} == before
    sweep.assert_whole(database)


@pytest.mark.parametrize("seed", ROUNDS)
def test_the_driver(seed, three_nodes, sweep_on, local, database) -> None:
    sweep, moment = sweep_on(three_nodes), Moment(f"driver {seed}")
    job = sweep.submit()
    before = moment.wait(sweep, job)
    kill(three_nodes.driver())
    assert three_nodes.wait_for_job(job).startswith("FAILED")
    again = sweep.submit("--resume")
    assert three_nodes.wait_for_job(again).startswith("SUCCEEDED")
    assert_undisturbed(sweep, before, local, database)


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_worker_process(seed, three_nodes, sweep_on, local, database) -> None:
    sweep, moment = sweep_on(three_nodes), Moment(f"worker {seed}")
    job = sweep.submit()
    before = moment.wait(sweep, job)
    kill(moment.draw.choice(three_nodes.trial_processes()))
    assert three_nodes.wait_for_job(job).startswith("SUCCEEDED")
    assert_undisturbed(sweep, before, local, database)


@pytest.mark.parametrize("seed", ROUNDS)
def test_a_raylet(seed, three_nodes, sweep_on, local, database) -> None:
    sweep, moment = sweep_on(three_nodes), Moment(f"raylet {seed}")
    job = sweep.submit()
    before = moment.wait(sweep, job)
    ip = moment.draw.choice(WORKERS)
    three_nodes.kill_raylet(ip)
    try:
        assert three_nodes.wait_for_job(job).startswith("SUCCEEDED")
    finally:
        three_nodes.add_node(ip)
    assert_undisturbed(sweep, before, local, database)


@pytest.mark.parametrize("seed", ROUNDS)
def test_the_head(seed, cluster, sweep_on, local, database, tmp_path) -> None:
    sweep, moment = sweep_on(cluster), Moment(f"head {seed}")
    job = sweep.submit()
    before = moment.wait(sweep, job)
    cluster.kill_head()
    time.sleep(1)
    cluster.close()  # nodes of a lost head are of no use to the next
    before |= ended(sweep)
    with running(Cluster(tmp_path / "next")) as another:
        another.start_head()
        for ip in WORKERS:
            another.add_node(ip)
        sweep.move_to(another)
        again = sweep.submit("--resume")
        assert another.wait_for_job(again).startswith("SUCCEEDED")
        assert_undisturbed(sweep, before, local, database)
