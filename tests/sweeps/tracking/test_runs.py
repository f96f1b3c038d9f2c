"""MLflow on a real sqlite store: nesting, resuming in the same runs, outages."""

import pytest

from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.plan.space import trials
from sweeps.results.read import read_sweep
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import TRACKED, Result, new_execution
from sweeps.tracking.runs import TrialRun
from sweeps.tracking.store import connect, experiment_id
from sweeps.tracking.tracker import Tracker


class Flaky:
    """The real client, of which every call but reads fails a few times first."""

    def __init__(self, client, failures: int) -> None:
        self._client, self._failures = client, failures

    def __getattr__(self, name):
        real = getattr(self._client, name)
        if not name.startswith(("log", "set")):
            return real

        def call(*args, **kwargs):
            if self._failures:
                self._failures -= 1
                raise ConnectionError("the store is away")
            return real(*args, **kwargs)

        return call


@pytest.fixture
def sweep(tmp_path) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "tracked",
            "model": {"tiny": True},
            "search": {"strategy": ["full"], "learning_rate": [1e-3, 1e-4]},
            "tracking": {
                "uri": f"sqlite:///{tmp_path / 'mlflow.db'}",
                "storage": str(tmp_path / "runs"),
            },
        }
    )


@pytest.fixture
def client(sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # artifacts of an sqlite store go below the working folder
    return connect(sweep.tracking.uri)


@pytest.fixture
def execution(sweep):
    return new_execution(sweep)


@pytest.fixture
def trial(sweep) -> TrialRun:
    config = trials(sweep)[0]
    tags = {"lnt.kind": "trial", "lnt.strategy": "full"}
    return TrialRun(trial_id(config), "full lr=1e-3", config, tags)


def tracker(client, sweep, execution) -> Tracker:
    return Tracker(
        client,
        experiment_id(client, sweep.name),
        execution,
        tags={"lnt.sweep": sweep.name},
        params={"seed": "0"},
        datasets=[],
    )


def emit(execution, trial, steps) -> None:
    log = EventLog(execution.trial(trial.trial_id) / EVENTS)
    for step in steps:
        log.write(step, {"train/loss": 1.0 / step})
    log.close()


def runs_of(client, sweep, kind: str):
    found = client.search_runs([experiment_id(client, sweep.name)], f"tags.`lnt.kind` = '{kind}'")
    return list(found)


def logged_steps(client, run) -> list[int]:
    return [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")]


DONE = Result("finished", 3, {"select/cider": 12.5})


def test_a_trial_is_a_run_below_its_sweep(client, sweep, execution, trial) -> None:
    sent = tracker(client, sweep, execution)
    sent.started(trial)
    emit(execution, trial, [1, 2, 3])
    sent.ended(trial, DONE)
    sent.close("FINISHED")
    (parent,), (run,) = runs_of(client, sweep, "sweep"), runs_of(client, sweep, "trial")
    assert parent.info.status == run.info.status == "FINISHED"
    assert run.info.run_name == "full lr=1e-3"
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.tags["lnt.status"] == "finished"
    assert run.data.tags["lnt.trial_id"] == trial.trial_id
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.params["strategy.name"] == "full"
    assert logged_steps(client, run) == [1, 2, 3]


@pytest.mark.parametrize("state_lost", [False, True])
def test_after_a_kill_the_same_runs_go_on(state_lost, client, sweep, execution, trial) -> None:
    killed = tracker(client, sweep, execution)
    killed.started(trial)
    emit(execution, trial, [1, 2])
    killed.flush()
    killed._outbox._stopping.set()  # the thread ends, nothing is closed: as after kill -9
    killed._outbox._thread.join()
    if state_lost:
        (execution.trial(trial.trial_id) / TRACKED).unlink()
    resumed = tracker(client, sweep, execution)
    resumed.started(trial)
    emit(execution, trial, [2, 3])
    resumed.ended(trial, DONE)
    resumed.close("FINISHED")
    assert len(runs_of(client, sweep, "sweep")) == 1
    (run,) = runs_of(client, sweep, "trial")
    assert run.info.status == "FINISHED"
    assert logged_steps(client, run) == [1, 2, 3]


def test_an_ended_trial_is_not_sent_twice(client, sweep, execution, trial) -> None:
    for _ in range(2):
        sent = tracker(client, sweep, execution)
        emit(execution, trial, [1])
        sent.ended(trial, DONE)
        sent.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert logged_steps(client, run) == [1]


def test_an_interrupted_run_is_killed_and_opened_again(client, sweep, execution, trial) -> None:
    sent = tracker(client, sweep, execution)
    sent.started(trial)
    sent.interrupted()
    sent.close("KILLED")
    assert {r.info.status for r in client.search_runs([experiment_id(client, sweep.name)])} == {
        "KILLED"
    }
    resumed = tracker(client, sweep, execution)
    resumed.started(trial)
    resumed.ended(trial, DONE)
    resumed.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert (run.info.status, run.data.tags["lnt.status"]) == ("FINISHED", "finished")


def test_a_failed_trial_that_is_tried_again_ends_as_it_ends_then(
    client, sweep, execution, trial
) -> None:
    first = tracker(client, sweep, execution)
    first.ended(trial, Result("failed", 1, error="boom"))
    first.close("FAILED")
    second = tracker(client, sweep, execution)
    second.started(trial)
    emit(execution, trial, [1, 2])
    second.ended(trial, DONE)
    second.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert (run.info.status, run.data.tags["lnt.status"]) == ("FINISHED", "finished")
    assert logged_steps(client, run) == [1, 2]


def test_a_store_that_is_away_loses_nothing(client, sweep, execution, trial) -> None:
    flaky = Flaky(client, failures=0)
    sent = tracker(flaky, sweep, execution)
    flaky._failures = 2
    sent.started(trial)
    emit(execution, trial, [1, 2, 3])
    sent.ended(trial, DONE)
    sent.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert logged_steps(client, run) == [1, 2, 3]


def test_a_failed_trial_carries_its_traceback(client, sweep, execution, trial) -> None:
    sent = tracker(client, sweep, execution)
    sent.ended(trial, Result("failed", 1, error="Traceback: boom"))
    sent.close("FAILED")
    (run,) = runs_of(client, sweep, "trial")
    assert run.info.status == "FAILED"
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["error.txt"]


def test_a_sweep_is_read_back_from_the_store_alone(client, sweep, execution, trial) -> None:
    sent = tracker(client, sweep, execution)
    log = EventLog(execution.trial(trial.trial_id) / EVENTS)
    log.write(3, {"select/cider": 12.5, "params/trainable": 7.0, "params/share": 0.5})
    log.close()
    sent.ended(trial, DONE)
    sent.parent_metrics({"base/select/cider": 3.25})
    sent.close("FINISHED")
    found = read_sweep(client, sweep.name)
    assert found.base_score == 3.25
    assert found.winners[0].trial.score == 12.5
    assert found.winners[0].trial.trainable_parameters == 7
