"""Sweeps on three nodes, with MLflow on PostgreSQL behind a password."""

import time

import pytest

from tests.cluster.conftest import running
from tests.cluster.raylets import Cluster
from tests.cluster.sweeps import NUM_TRIALS, SMALL, SubmittedSweep
from tests.e2e.conftest import STAGE, Sweep

pytestmark = pytest.mark.slow


def test_a_submitted_sweep_ends_with_the_winners_of_a_local_one(
    three_nodes, tracking, database, cache, local, tmp_path
) -> None:
    sweep = SubmittedSweep(tmp_path / "submitted", three_nodes, tracking, cache)
    job = sweep.submit()
    assert three_nodes.wait_for_job(job).startswith("SUCCEEDED")
    assert sweep.scores() == local
    assert len(sweep.files("result.json")) == NUM_TRIALS
    assert job in three_nodes.lnt("jobs").stdout
    assert set(sweep.nodes()) == {"127.0.0.3", "127.0.0.4"}
    sweep.assert_whole(database)


def test_a_trial_of_two_nodes_scores_as_one_of_a_process(
    three_nodes, tracking, database, cache, tmp_path
) -> None:
    """Each node has room for one worker; base, stage 1 and trials lie in parts on the two."""
    changes = {
        "search": {"strategy": ["layernorm"], "learning_rate": [2e-3]},
        "align": {"max_steps": 11, **STAGE},  # nobody has trained this stage 1 yet
    }
    resources = {"workers_per_trial": 2, "cpus_per_trial": 1}
    train = SMALL["train"] | {"deepspeed": "zero3"}
    sweep = SubmittedSweep(
        tmp_path / "parts",
        three_nodes,
        tracking,
        cache,
        resources=resources,
        train=train,
        **changes,
    )
    assert three_nodes.wait_for_job(sweep.submit()).startswith("SUCCEEDED")
    sweep.assert_whole(database)
    one = Sweep(tmp_path / "one", cache, **SMALL | changes)
    one.lnt("run", "sweep.yaml")
    assert sweep.scores() == one.scores()


def test_sweeps_at_once_do_not_mix(three_nodes, tracking, database, cache, local, tmp_path) -> None:
    """Two of other names, and a second execution of the first one's."""
    folders = (("first", "same"), ("again", "same"), ("other", "other"))
    sweeps = [
        SubmittedSweep(tmp_path / folder, three_nodes, tracking, cache, name=name)
        for folder, name in folders
    ]
    jobs = [sweep.submit() for sweep in sweeps]
    for job in jobs:
        assert three_nodes.wait_for_job(job).startswith("SUCCEEDED")
    for sweep in sweeps:
        assert sweep.scores() == local
        assert len(sweep.files("result.json")) == NUM_TRIALS
    sweeps[2].assert_whole(database)


def test_a_stopped_job_keeps_what_is_trained_and_goes_on(
    three_nodes, tracking, database, cache, local, tmp_path
) -> None:
    """Without checkpoints of their own accord: what is kept was kept for the stop."""
    train = SMALL["train"] | {"checkpoint_every_steps": 10_000}
    sweep = SubmittedSweep(tmp_path / "stopped", three_nodes, tracking, cache, train=train)
    job = sweep.submit()
    sweep.wait_until(lambda: sweep.num_steps() > 10, job)
    assert three_nodes.lnt("stop", job).stdout.startswith("STOPPED")
    assert sweep.files("checkpoint.pt") or sweep.files("result.json")
    assert "Resume with: lnt run" in three_nodes.lnt("logs", job).stdout
    again = sweep.submit("--resume")
    assert three_nodes.wait_for_job(again).startswith("SUCCEEDED")
    assert sweep.scores() == local
    sweep.assert_whole(database)


def test_a_node_that_joins_midway_is_used(
    tracking, database, cache, tmp_path, tmp_path_factory
) -> None:
    """The sweep is submitted to a head alone, and waits for its first node too."""
    with running(Cluster(tmp_path_factory.mktemp("growing"))) as cluster:
        cluster.start_head()
        # many trials: a new node's first worker takes its time to start
        search = {"strategy": ["layernorm", "full", "connector"], "learning_rate": "paper"}
        sweep = SubmittedSweep(tmp_path / "growing", cluster, tracking, cache, search=search)
        job = sweep.submit()
        time.sleep(5)
        cluster.add_node("127.0.0.3")
        sweep.wait_until(lambda: sweep.num_steps() > 0, job)
        cluster.add_node("127.0.0.4")
        assert cluster.wait_for_job(job).startswith("SUCCEEDED")
    assert set(sweep.nodes()) == {"127.0.0.3", "127.0.0.4"}
    sweep.assert_whole(database)
