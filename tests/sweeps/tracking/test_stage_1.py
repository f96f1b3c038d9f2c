"""The run of stage 1: one for each that is trained, whatever is killed; others link to it."""

import pytest

from lnt_core.errors import LntError
from sweeps.storage.execution import new_execution
from sweeps.storage.stage_1 import stage_1_logged
from sweeps.tracking.runs import TrialRun
from sweeps.tracking.store import experiment_id
from tests.sweeps.executions import tiny_sweep, track, trial_runs
from tests.sweeps.tracking.test_tracker import Flaky

NUM_STEPS = 4
WHOLE = [(step, 1 / step) for step in range(1, NUM_STEPS + 1)]


def follow(client, sweep, execution, name: str):
    """A tracker of an execution, with its stage 1."""
    sent = track(client, sweep, execution)
    tags = {"lnt.num_steps": str(NUM_STEPS)}
    sent.follow_stage_1(TrialRun(name, "stage 1", trial_runs(sweep)[0].config, tags))
    return sent


def train(execution, name: str, steps: int, *, error: BaseException | None = None) -> None:
    """What the process that trains writes; without an error it is done after ``steps``."""
    with stage_1_logged(execution, name, lambda step, metrics: None) as log:
        for step in range(1, steps + 1):
            log(step, {"train/loss": 1 / step})
        if error is not None:
            raise error


def runs_of(client, sweep, sent) -> list:
    return client.search_runs(
        [experiment_id(client, sweep.name)],
        f"tags.`mlflow.parentRunId` = '{sent.parent_id}' and tags.`lnt.kind` = 'align'",
    )


def points(client, run) -> list[tuple[int, float]]:
    found = client.get_metric_history(run.info.run_id, "train/loss")
    return [(point.step, point.value) for point in found]


def linked(client, sent) -> str | None:
    return client.get_run(sent.parent_id).data.tags.get("lnt.align_run")


@pytest.fixture
def other(tmp_path, store_uri):
    """Another sweep on the same store."""
    return tiny_sweep(tmp_path / "other", store_uri)


def test_it_is_nested_and_another_sweep_links_to_it(client, sweep, execution, other) -> None:
    sent = follow(client, sweep, execution, "once")
    train(execution, "once", NUM_STEPS)
    sent.close("FINISHED")
    (run,) = runs_of(client, sweep, sent)
    assert points(client, run) == WHOLE
    assert (run.info.status, run.info.run_name) == ("FINISHED", "stage 1")
    assert {"lnt.align_id": "once", "lnt.status": "finished"}.items() <= run.data.tags.items()
    assert run.data.params["model.tiny"] == "True"
    assert linked(client, sent) == run.info.run_id
    for name, expected in (("once", run.info.run_id), ("never logged", None)):
        execution = new_execution(other)
        user = follow(client, other, execution, name)
        train(execution, name, 0)  # the cache has it
        user.close("FINISHED")
        assert runs_of(client, other, user) == []
        assert linked(client, user) == expected


def test_a_store_that_is_away_at_its_end_loses_nothing(client, sweep, execution) -> None:
    flaky = Flaky(client, failures=0)
    sent = follow(flaky, sweep, execution, "away")
    with pytest.raises(KeyboardInterrupt):
        train(execution, "away", 2, error=KeyboardInterrupt())
    sent.flush()
    sent.flush()
    flaky._failures = 1
    train(execution, "away", NUM_STEPS)
    sent.close("FINISHED")
    (run,) = runs_of(client, sweep, sent)
    assert (run.info.status, points(client, run)) == ("FINISHED", WHOLE)


@pytest.mark.parametrize("how", ["killed", "interrupted", "failed"])
def test_a_resumed_sweep_goes_on_in_the_same_run(how, client, sweep, execution) -> None:
    sent = follow(client, sweep, execution, how)
    with pytest.raises((KeyboardInterrupt, LntError)):
        train(execution, how, 2, error=LntError("no") if how == "failed" else KeyboardInterrupt())
    sent.flush()
    if how == "killed":  # as after kill -9: the thread ends, nothing is closed
        sent.flush()
        sent._outbox._stopping.set()
        sent._outbox._thread.join()
    else:
        sent.interrupted()
        sent.close("KILLED")
    (run,) = runs_of(client, sweep, sent)
    expected = {"killed": "RUNNING", "interrupted": "KILLED", "failed": "FAILED"}
    assert run.info.status == expected[how]
    resumed = follow(client, sweep, execution, how)
    train(execution, how, NUM_STEPS)
    resumed.close("FINISHED")
    (same,) = runs_of(client, sweep, resumed)
    assert (same.info.run_id, same.info.status) == (run.info.run_id, "FINISHED")
    assert points(client, same) == WHOLE


def test_what_another_sweep_has_trained_meanwhile_is_linked(
    client, sweep, execution, other
) -> None:
    sent = follow(client, sweep, execution, "both")
    with pytest.raises(KeyboardInterrupt):
        train(execution, "both", 2, error=KeyboardInterrupt())
    sent.interrupted()
    sent.close("KILLED")
    second = new_execution(other)
    trainer = follow(client, other, second, "both")
    train(second, "both", NUM_STEPS)
    trainer.close("FINISHED")
    (whole,) = runs_of(client, other, trainer)
    resumed = follow(client, sweep, execution, "both")
    train(execution, "both", 0)
    resumed.close("FINISHED")
    (part,) = runs_of(client, sweep, resumed)
    assert part.info.status == "KILLED"
    assert linked(client, resumed) == whole.info.run_id


def test_of_two_each_has_its_run_and_the_parent_names_both(client, sweep, execution) -> None:
    sent = follow(client, sweep, execution, "fp32")
    tags = {"lnt.num_steps": str(NUM_STEPS)}
    config = trial_runs(sweep)[0].config
    sent.follow_stage_1(TrialRun("bf16", "stage 1 train.precision=bf16", config, tags))
    for name in ("bf16", "fp32"):
        train(execution, name, NUM_STEPS)
    sent.close("FINISHED")
    runs = {run.data.tags["lnt.align_id"]: run for run in runs_of(client, sweep, sent)}
    assert runs.keys() == {"fp32", "bf16"}
    for run in runs.values():
        assert (run.info.status, points(client, run)) == ("FINISHED", WHOLE)
    tags = client.get_run(sent.parent_id).data.tags
    linked_runs = zip(
        tags["lnt.align_id"].split(", "), tags["lnt.align_run"].split(", "), strict=True
    )
    assert dict(linked_runs) == {name: run.info.run_id for name, run in runs.items()}


@pytest.mark.parametrize("sent_steps", [2, NUM_STEPS])
def test_a_run_left_open_by_a_kill_is_finished_by_the_next_that_has_all_of_it(
    client, sweep, execution, other, sent_steps
) -> None:
    """The connector was saved, but its process was killed before it closed the run."""
    name = f"left open at {sent_steps}"
    left = follow(client, sweep, execution, name)
    with pytest.raises(KeyboardInterrupt):
        train(execution, name, sent_steps, error=KeyboardInterrupt())
    left.flush()
    left.flush()
    left._outbox._stopping.set()
    left._outbox._thread.join()
    second = new_execution(other)
    user = follow(client, other, second, name)
    train(second, name, 0)  # the cache has it
    user.close("FINISHED")
    (run,) = runs_of(client, sweep, left)
    expected = "FINISHED" if sent_steps == NUM_STEPS else "RUNNING"  # who has the rest closes it
    assert run.info.status == expected
    assert linked(client, user) == run.info.run_id
    train(execution, name, NUM_STEPS)
    resumed = follow(client, sweep, execution, name)
    resumed.close("FINISHED")
    (run,) = runs_of(client, sweep, resumed)
    assert (run.info.status, points(client, run)) == ("FINISHED", WHOLE)
