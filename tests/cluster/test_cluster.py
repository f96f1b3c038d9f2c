"""Sweeps on three nodes, with MLflow on PostgreSQL behind a password."""

import time

import pytest

from tests.cluster.conftest import running
from tests.cluster.raylets import Cluster
from tests.cluster.sweeps import TRAIN
from tests.e2e.conftest import Sweep
from tests.micro import STAGE
from tests.nvml import fake_packages

pytestmark = pytest.mark.cluster
REL = 1e-5
"""As in tests/lnt_core/training/test_zero_engine.py."""


def test_a_submitted_sweep_ends_with_the_winners_of_a_local_one(
    three_nodes, submitted, database, local
) -> None:
    sweep = submitted("submitted", three_nodes)
    job = sweep.submit()
    assert three_nodes.wait_for_job(job).startswith("SUCCEEDED")
    assert sweep.outcome() == local.outcome()
    assert sweep.winners() == local.scores()
    assert job in three_nodes.lnt("jobs").stdout
    assert set(sweep.nodes()) == {"127.0.0.3", "127.0.0.4"}
    sweep.assert_whole(database)


def test_a_trial_of_two_nodes_scores_as_one_of_a_process(
    three_nodes, submitted, database, micro, cache, tmp_path
) -> None:
    """Each node has room for one worker; base, stage 1 and trials lie in parts on the two."""
    changes = {
        "search": {"strategy": ["layernorm"], "learning_rate": [2e-3]},
        "align": {"max_steps": 3, **STAGE},  # a stage 1 that is not in the cache yet
    }
    sweep = submitted(
        "parts",
        three_nodes,
        resources={"workers_per_trial": 2, "cpus_per_trial": 1},
        train=TRAIN | {"deepspeed": "zero3", "max_steps": 8},
        **changes,
    )
    assert three_nodes.wait_for_job(sweep.submit()).startswith("SUCCEEDED")
    sweep.assert_whole(database)
    content = micro | changes | {"train": TRAIN | {"max_steps": 8}}
    one = Sweep(tmp_path / "one", cache, **content)
    one.lnt("run", "sweep.yaml")
    (several,), (alone,) = sweep.outcome().values(), one.outcome().values()
    assert several[:2] == alone[:2]
    losses = [[float(loss) for loss in found[2].values()] for found in (several, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=REL)


def test_sweeps_at_once_do_not_mix(three_nodes, submitted, local) -> None:
    """Two executions of one name: those of two names have less in common."""
    sweeps = [submitted(folder, three_nodes, name="same") for folder in ("first", "again")]
    jobs = [sweep.submit() for sweep in sweeps]
    for job in jobs:
        assert three_nodes.wait_for_job(job).startswith("SUCCEEDED")
    for sweep in sweeps:
        assert sweep.outcome() == local.outcome()


def test_a_stopped_job_keeps_what_is_trained_and_goes_on(
    three_nodes, submitted, database, local
) -> None:
    """Without checkpoints of their own accord: what is kept was kept for the stop."""
    sweep = submitted("stopped", three_nodes, train=TRAIN | {"checkpoint_every_steps": 10_000})
    job = sweep.submit()
    sweep.wait_until(lambda: sweep.num_steps() > 10, job)
    assert three_nodes.lnt("stop", job).stdout.startswith("STOPPED")
    assert sweep.files("checkpoint.pt") or sweep.files("result.json")
    assert "Resume with: lnt run" in three_nodes.lnt("logs", job).stdout
    again = sweep.submit("--resume")
    assert three_nodes.wait_for_job(again).startswith("SUCCEEDED")
    assert sweep.outcome() == local.outcome()
    sweep.assert_whole(database)


def test_a_node_that_joins_midway_is_used_if_it_is_fit(
    submitted, database, tmp_path, tmp_path_factory
) -> None:
    """The sweep is submitted to a head alone, and waits for its first node too."""
    other = fake_packages(tmp_path / "other", transformers="5.1.0")
    with running(Cluster(tmp_path_factory.mktemp("growing"))) as cluster:
        cluster.start_head()
        # many trials: a new node's first worker takes its time to start
        search = {"strategy": ["layernorm", "connector"], "learning_rate": "paper"}
        sweep = submitted("growing", cluster, search=search)
        job = sweep.submit()
        time.sleep(5)
        cluster.add_node("127.0.0.3")
        sweep.wait_until(lambda: sweep.num_steps() > 0, job)
        cluster.add_node("127.0.0.5", num_cpus=2, environment=other)
        sweep.wait_until(lambda: "127.0.0.5" in cluster.lnt("logs", job).stdout, job)
        cluster.add_node("127.0.0.4")
        assert cluster.wait_for_job(job).startswith("SUCCEEDED")
        told = cluster.lnt("logs", job).stdout
    (line,) = [line for line in told.splitlines() if "127.0.0.5" in line]
    assert line.startswith("No trial runs on 127.0.0.5, which has joined the cluster: ")
    assert "transformers is not the same everywhere: " in line
    assert set(sweep.nodes()) == {"127.0.0.3", "127.0.0.4"}
    sweep.assert_whole(database)
