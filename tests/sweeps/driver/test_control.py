"""What the driver does with the requests of `lnt trial`, and what it answers."""

import json
import time
from types import SimpleNamespace

import pytest
import torch

from sweeps.driver.callback import SweepStopper
from sweeps.driver.control import POLL_S, Control
from sweeps.driver.queue import TrialQueue
from sweeps.storage.execution import Result, TrialStatus
from sweeps.storage.trials import all_trials, read_trial
from sweeps.tracking.requests import ANSWERED, ASKED, Request
from tests.sweeps.driver.executions import at_rate, context_of, finish


class Tags:
    """A parent run in MLflow: its tags are all that requests need."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def get_run(self, run_id: str):
        return SimpleNamespace(data=SimpleNamespace(tags=dict(self.tags)))

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self.tags[key] = value


class Driver:
    """A control with all around it real but Ray and MLflow."""

    def __init__(self, folder) -> None:
        self.context = context_of(folder)
        self.queue = TrialQueue([at_rate(self.context, 1e-3).id], more=list)
        self.stopper = SweepStopper()
        self.announced: list[int] = []
        self.client = Tags()
        self.control = Control(self.context, self.queue, self.stopper, self.announced.append)

    def ask(self, request: Request) -> dict | None:
        """Write a request, let the driver look, and give its answer."""
        self.client.set_tag("parent", ASKED + request.id, json.dumps(vars(request)))
        return self.look(request)

    def look(self, request: Request) -> dict | None:
        self.control.hurry()
        self.control.poll(self.client, "parent")
        told = self.client.tags.get(ANSWERED + request.id)
        return None if told is None else json.loads(told)

    def clone(self, trial_id: str, from_checkpoint=False, **changes) -> dict | None:
        return self.ask(Request("clone", trial_id, changes, from_checkpoint))


@pytest.fixture
def driver(tmp_path) -> Driver:
    return Driver(tmp_path)


def test_a_stop_is_answered_when_the_trial_has_ended(driver) -> None:
    trial = at_rate(driver.context, 1e-3)
    request = Request("stop", trial.id)
    assert driver.ask(request) is None
    assert driver.stopper.asked == {trial.id}
    stopped = Result(TrialStatus.STOPPED, 7, stopped_by="user")
    driver.context.execution.write_result(trial.id, stopped)
    assert driver.look(request) == {"ok": True, "text": "stopped at step 7"}


def test_a_stop_of_a_trial_that_ended_by_itself_is_refused(driver) -> None:
    trial = at_rate(driver.context, 1e-3)
    finish(driver.context, trial, 1.0)
    told = driver.ask(Request("stop", trial.id))
    assert told["ok"] is False
    assert "finished" in told["text"]
    assert driver.stopper.asked == set()


@pytest.mark.parametrize("name", ["0123456789ab", "base"])
def test_a_stop_of_what_is_no_trial_is_refused(driver, name) -> None:
    told = driver.ask(Request("stop", name))
    assert told == {"ok": False, "text": f"this sweep has no trial {name}"}
    assert driver.stopper.asked == set()


def test_a_clone_is_written_queued_in_front_and_announced(driver) -> None:
    original = at_rate(driver.context, 1e-3)
    told = driver.clone(original.id, learning_rate=3e-4)
    clone = at_rate(driver.context, 3e-4)
    assert told["ok"] is True
    assert clone.id in told["text"]
    assert (clone.added_by, clone.cloned_from) == ("clone", original.id)
    assert driver.queue.suggest("tune-1") == {"trial": clone.id}
    assert driver.announced == [1]


def test_the_same_clone_again_is_refused(driver) -> None:
    original = at_rate(driver.context, 1e-3)
    assert driver.clone(original.id, learning_rate=3e-4)["ok"] is True
    told = driver.clone(original.id, learning_rate=3e-4)
    assert told["ok"] is False
    assert at_rate(driver.context, 3e-4).id in told["text"]
    assert driver.announced == [1]


def test_a_request_that_an_earlier_driver_carried_out_is_answered_not_repeated(driver) -> None:
    request = Request("clone", at_rate(driver.context, 1e-3).id, {"learning_rate": 3e-4})
    driver.ask(request)
    del driver.client.tags[ANSWERED + request.id]  # killed before it answered
    told = driver.look(request)
    assert told == {"ok": True, "text": f"the clone is trial {at_rate(driver.context, 3e-4).id}"}
    assert driver.announced == [1]


@pytest.mark.parametrize(
    ("changes", "part"), [({"learning_rate": 2.0}, "learning_rate is 2"), ({"rank": 8}, "rank")]
)
def test_values_that_do_not_fit_are_refused_and_nothing_is_left(driver, changes, part) -> None:
    told = driver.clone(at_rate(driver.context, 1e-3).id, **changes)
    assert told["ok"] is False
    assert part in told["text"]
    assert len(all_trials(driver.context.execution)) == 2


def test_a_trial_that_the_sweep_lacks_is_named(driver) -> None:
    told = driver.clone("0123456789ab", learning_rate=3e-4)
    assert told["ok"] is False
    assert "0123456789ab" in told["text"]


def test_a_clone_at_the_end_of_the_sweep_is_refused_and_taken_back(driver) -> None:
    driver.queue.suggest("tune-1")
    driver.queue.on_trial_complete("tune-1")
    driver.queue.suggest("tune-2")
    assert driver.queue.finished
    told = driver.clone(at_rate(driver.context, 1e-3).id, learning_rate=3e-4)
    assert told["ok"] is False
    assert len(all_trials(driver.context.execution)) == 2


class TestFromCheckpoint:
    def checkpoint(self, driver, step: int):
        path = driver.context.execution.trial(at_rate(driver.context, 1e-3).id) / "checkpoint.pt"
        torch.save({"step": step}, path)
        return path

    def test_it_begins_with_a_copy_that_outlives_the_original(self, driver) -> None:
        path = self.checkpoint(driver, 4)
        told = driver.clone(at_rate(driver.context, 1e-3).id, True, learning_rate=3e-4)
        assert "from step 4 of the checkpoint" in told["text"]
        clone = at_rate(driver.context, 3e-4)
        assert clone.config.started_from.step == 4
        path.unlink()
        own = driver.context.execution.trial(clone.id) / "checkpoint.pt"
        assert torch.load(own) == {"step": 4}

    def test_without_a_checkpoint_it_is_refused(self, driver) -> None:
        told = driver.clone(at_rate(driver.context, 1e-3).id, True, learning_rate=3e-4)
        assert told["ok"] is False
        assert "checkpoint" in told["text"]

    def test_with_nothing_left_to_train_it_is_refused(self, driver) -> None:
        self.checkpoint(driver, 10)
        told = driver.clone(at_rate(driver.context, 1e-3).id, True, learning_rate=3e-4)
        assert told["ok"] is False
        assert len(all_trials(driver.context.execution)) == 2
        drafts = list(driver.context.execution.path.glob(".*.pt"))
        assert drafts == []


def test_it_looks_no_more_often_than_it_says(driver, monkeypatch) -> None:
    clock_s = iter((100.0, 100.0, 100.0 + POLL_S / 2, 100.0 + POLL_S, 100.0 + POLL_S))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock_s))  # asked again after each look
    looks: list[str] = []
    real = driver.client.get_run
    monkeypatch.setattr(driver.client, "get_run", lambda name: looks.append(name) or real(name))
    for _ in range(3):
        driver.control.poll(driver.client, "parent")
    assert len(looks) == 2


def test_the_clone_of_a_clone_keeps_what_tells_it_apart(driver) -> None:
    driver.clone(at_rate(driver.context, 1e-3).id, **{"train.weight_decay": 0.5})
    (first,) = [t for t in all_trials(driver.context.execution).values() if t.added_by]
    driver.clone(first.id, learning_rate=3e-4)
    second = read_trial(driver.context.execution, at_rate(driver.context, 3e-4).id)
    assert second.name == "layernorm train.weight_decay=0.5 lr=3e-4"
