"""What MLflow is given: whole numbers of params, digits that come back, no point twice."""

import math

import pytest

from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.plan.load import load_sweep, preset_names
from sweeps.plan.space import trials
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import TRACKED, Result, new_execution
from sweeps.tracking.runs import TrialRun, flat
from sweeps.tracking.store import connect, experiment_id
from sweeps.tracking.tracker import Tracker

MAX_PARAMS = 100
"""Of one request to MLflow; more, and the tracker would try again for ever."""
MAX_VALUE = 6000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tracked")


@pytest.fixture(scope="module")
def sweep(folder) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "tracked",
            "model": {"tiny": True},
            "search": {"strategy": ["full", "lora"], "learning_rate": [1e-3, 1e-4]},
            "tracking": {"uri": f"sqlite:///{folder / 'm.db'}", "storage": str(folder / "runs")},
        }
    )


@pytest.fixture(scope="module")
def client(sweep):
    return connect(sweep.tracking.uri)


def tracker(client, sweep, execution) -> Tracker:
    return Tracker(
        client,
        experiment_id(client, sweep.name),
        execution,
        tags={"lnt.sweep": sweep.name},
        params={"seed": "0"},
        datasets=[],
    )


def runs_below(client, sweep, parent_id: str):
    where = f"tags.`mlflow.parentRunId` = '{parent_id}'"
    return client.search_runs([experiment_id(client, sweep.name)], where)


def trial_runs(sweep) -> list[TrialRun]:
    return [
        TrialRun(trial_id(c), "t", c, {"lnt.kind": "trial", "lnt.strategy": c.strategy.name})
        for c in trials(sweep)
    ]


def emit(execution, run: TrialRun, events: dict[int, float]) -> None:
    log = EventLog(execution.trial(run.trial_id) / EVENTS)
    for step, loss in events.items():
        log.write(step, {"train/loss": loss})
    log.close()


@pytest.mark.parametrize("preset", preset_names())
def test_the_params_of_every_preset_fit_into_one_request(preset) -> None:
    sweep = load_sweep(preset)
    for config in (sweep, *trials(sweep)):
        params = flat(config.model_dump(mode="json", exclude_none=True))
        assert len(params) <= MAX_PARAMS
        assert max(map(len, params.values())) <= MAX_VALUE


def test_losses_come_back_to_the_last_digit_at_their_steps(client, sweep) -> None:
    execution, run = new_execution(sweep), trial_runs(sweep)[0]
    losses = {1: 0.1 + 0.2, 2: 1 / 3, 7: 1e-300}
    sent = tracker(client, sweep, execution)
    sent.started(run)
    emit(execution, run, losses)
    sent.ended(run, Result("finished", 7, {"select/cider": 1.0}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert {point.step: point.value for point in points} == losses


def test_more_points_than_one_request_takes_all_arrive(client, sweep) -> None:
    execution, run = new_execution(sweep), trial_runs(sweep)[0]
    sent = tracker(client, sweep, execution)
    emit(execution, run, {step: float(step) for step in range(1, 2502)})
    sent.ended(run, Result("finished", 2501, {"select/cider": 1.0}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in points] == list(range(1, 2502))


def test_a_diverged_trial_is_a_finished_run_that_says_so(client, sweep) -> None:
    execution, run = new_execution(sweep), trial_runs(sweep)[0]
    sent = tracker(client, sweep, execution)
    emit(execution, run, {1: 3.0, 2: math.nan})
    sent.ended(run, Result("diverged", 2, {"train/final_loss": math.nan}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["lnt.status"] == "diverged"
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in points] == [1, 2]


def test_a_kill_between_sending_and_noting_it_doubles_no_point(client, sweep) -> None:
    execution, run = new_execution(sweep), trial_runs(sweep)[0]
    state = execution.trial(run.trial_id) / TRACKED
    killed = tracker(client, sweep, execution)
    killed.started(run)
    killed.flush()
    before = state.read_bytes()
    emit(execution, run, {1: 1.0, 2: 2.0})
    killed.flush()
    killed.flush()  # an order is carried out after the events before it
    killed._outbox._stopping.set()  # the thread ends, nothing is closed: as after kill -9
    killed._outbox._thread.join()
    state.write_bytes(before)
    resumed = tracker(client, sweep, execution)
    resumed.started(run)
    emit(execution, run, {3: 3.0})
    resumed.ended(run, Result("finished", 3, {"select/cider": 1.0}))
    resumed.close("FINISHED")
    (found,) = runs_below(client, sweep, resumed.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_two_executions_of_one_sweep_are_two_parents(client, sweep) -> None:
    parents = set()
    for _ in range(2):
        sent = tracker(client, sweep, new_execution(sweep))
        sent.ended(trial_runs(sweep)[0], Result("failed", error="x"))
        sent.close("FAILED")
        parents.add(sent.parent_id)
        assert len(runs_below(client, sweep, sent.parent_id)) == 1
    assert len(parents) == 2


def test_what_ended_stays_as_it_was_when_the_rest_is_interrupted(client, sweep) -> None:
    execution, (ended, running, *_) = new_execution(sweep), trial_runs(sweep)
    sent = tracker(client, sweep, execution)
    sent.started(ended)
    sent.started(running)
    sent.ended(ended, Result("finished", 1, {"select/cider": 1.0}))
    sent.interrupted()
    sent.close("KILLED")
    found = runs_below(client, sweep, sent.parent_id)
    assert {run.data.tags["lnt.trial_id"]: run.info.status for run in found} == {
        ended.trial_id: "FINISHED",
        running.trial_id: "KILLED",
    }


def test_a_step_that_two_processes_wrote_is_sent_once(client, sweep) -> None:
    """A node that was given up may go on for seconds, while the trial runs elsewhere."""
    execution, run = new_execution(sweep), trial_runs(sweep)[0]
    sent = tracker(client, sweep, execution)
    sent.started(run)
    path = execution.trial(run.trial_id) / EVENTS
    given_up, second = EventLog(path), EventLog(path)
    for log in (given_up, second):
        for step in (1, 2):
            log.write(step, {"train/loss": 1.0 / step})
        sent.flush()
        log.close()
    sent.ended(run, Result("finished", 2, {"select/cider": 1.0}, node="127.0.0.3"))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in points] == [1, 2]
    assert found.data.tags["lnt.node"] == "127.0.0.3"
