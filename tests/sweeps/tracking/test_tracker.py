"""Tracking an execution: exact values, no duplicates, recovery from kills and outages."""

import math

import pytest

from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import TRACKED, Result, new_execution
from sweeps.tracking.store import experiment_id
from tests.sweeps.executions import log_losses, track, trial_runs


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


def runs_below(client, sweep, parent_id: str):
    where = f"tags.`mlflow.parentRunId` = '{parent_id}'"
    return client.search_runs([experiment_id(client, sweep.name)], where)


def test_losses_come_back_to_the_last_digit_at_their_steps(client, sweep, execution) -> None:
    run = trial_runs(sweep)[0]
    losses = {1: 0.1 + 0.2, 2: 1 / 3, 7: 1e-300}
    sent = track(client, sweep, execution)
    sent.started(run)
    log_losses(execution, run, losses)
    sent.ended(run, Result("finished", 7, {"select/cider": 1.0}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert {point.step: point.value for point in points} == losses


def test_more_points_than_one_request_takes_all_arrive(client, sweep, execution) -> None:
    run = trial_runs(sweep)[0]
    sent = track(client, sweep, execution)
    log_losses(execution, run, {step: float(step) for step in range(1, 2502)})
    sent.ended(run, Result("finished", 2501, {"select/cider": 1.0}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in points] == list(range(1, 2502))


def test_a_diverged_trial_is_a_finished_run_that_says_so(client, sweep, execution) -> None:
    run = trial_runs(sweep)[0]
    sent = track(client, sweep, execution)
    log_losses(execution, run, {1: 3.0, 2: math.nan})
    sent.ended(run, Result("diverged", 2, {"train/final_loss": math.nan}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["lnt.status"] == "diverged"
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in points] == [1, 2]


def test_a_kill_between_sending_and_noting_it_doubles_no_point(client, sweep, execution) -> None:
    run = trial_runs(sweep)[0]
    state = execution.trial(run.trial_id) / TRACKED
    killed = track(client, sweep, execution)
    killed.started(run)
    killed.flush()
    before = state.read_bytes()
    log_losses(execution, run, {1: 1.0, 2: 2.0})
    killed.flush()
    killed.flush()  # an order is carried out after the events before it
    killed._outbox._stopping.set()  # the thread ends, nothing is closed: as after kill -9
    killed._outbox._thread.join()
    state.write_bytes(before)
    resumed = track(client, sweep, execution)
    resumed.started(run)
    log_losses(execution, run, {3: 3.0})
    resumed.ended(run, Result("finished", 3, {"select/cider": 1.0}))
    resumed.close("FINISHED")
    (found,) = runs_below(client, sweep, resumed.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_two_executions_of_one_sweep_are_two_parents(client, sweep) -> None:
    parents = set()
    for _ in range(2):
        sent = track(client, sweep, new_execution(sweep))
        sent.ended(trial_runs(sweep)[0], Result("failed", error="x"))
        sent.close("FAILED")
        parents.add(sent.parent_id)
        assert len(runs_below(client, sweep, sent.parent_id)) == 1
    assert len(parents) == 2


def test_what_ended_stays_as_it_was_when_the_rest_is_interrupted(client, sweep, execution) -> None:
    ended, running = trial_runs(sweep)
    sent = track(client, sweep, execution)
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


def test_a_step_that_two_processes_wrote_is_sent_once(client, sweep, execution) -> None:
    """A node that was given up may go on for seconds, while the trial runs elsewhere."""
    run = trial_runs(sweep)[0]
    sent = track(client, sweep, execution)
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


@pytest.mark.heavy
def test_a_store_that_is_away_loses_nothing(client, sweep, execution) -> None:
    run = trial_runs(sweep)[0]
    flaky = Flaky(client, failures=0)
    sent = track(flaky, sweep, execution)
    flaky._failures = 2
    sent.started(run)
    log_losses(execution, run, {1: 1.0, 2: 1 / 2, 3: 1 / 3})
    sent.ended(run, Result("finished", 3, {"select/cider": 12.5}))
    sent.close("FINISHED")
    (found,) = runs_below(client, sweep, sent.parent_id)
    points = client.get_metric_history(found.info.run_id, "train/loss")
    assert [point.step for point in points] == [1, 2, 3]
