"""What the driver does with the requests of `lnt trial`, and what it answers."""

import json
import random
import time
import uuid
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lnt_core.distributed.sharded import shards
from sweeps.driver.callback import SweepStopper
from sweeps.driver.control import POLL_S, Control
from sweeps.driver.queue import TrialQueue
from sweeps.storage.execution import Result, TrialStatus
from sweeps.storage.trials import all_trials, read_trial
from sweeps.tracking.requests import ANSWERED, ASKED, Request
from tests.damage import WAYS
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
        self.start_again()

    def start_again(self) -> None:
        self.control = Control(self.context, self.queue, self.stopper, self.announced.append)

    def ask(self, request: Request, request_id: str = "") -> dict | None:
        """Write a request, let the driver look, and give its answer."""
        request_id = request_id or uuid.uuid4().hex[:12]
        return self.write(request_id, request.model_dump_json())

    def write(self, request_id: str, text: str) -> dict | None:
        """Write any text as a request, let the driver look, and give its answer."""
        self.client.set_tag("parent", ASKED + request_id, text)
        return self.look(request_id)

    def look(self, request_id: str) -> dict | None:
        self.control.hurry()
        self.control.poll(self.client, "parent")
        told = self.client.tags.get(ANSWERED + request_id)
        return None if told is None else json.loads(told)

    def stop(self, trial_id: str, request_id: str = "") -> dict | None:
        return self.ask(Request(kind="stop", trial=trial_id), request_id)

    def clone(self, trial_id: str, from_checkpoint=False, **changes) -> dict | None:
        return self.ask(
            Request(kind="clone", trial=trial_id, changes=changes, from_checkpoint=from_checkpoint)
        )


ID = "0123456789ab"


@pytest.fixture
def driver(tmp_path) -> Driver:
    return Driver(tmp_path)


def test_a_stop_is_answered_when_the_trial_has_ended(driver) -> None:
    trial = at_rate(driver.context, 1e-3)
    assert driver.stop(trial.id, ID) is None
    assert driver.stopper.asked == {trial.id}
    stopped = Result(TrialStatus.STOPPED, 7, stopped_by="user")
    driver.context.execution.write_result(trial.id, stopped)
    assert driver.look(ID) == {"ok": True, "text": "stopped at step 7"}


def test_a_stop_of_a_trial_that_ended_by_itself_is_refused(driver) -> None:
    trial = at_rate(driver.context, 1e-3)
    finish(driver.context, trial, 1.0)
    told = driver.stop(trial.id)
    assert told["ok"] is False
    assert "finished" in told["text"]
    assert driver.stopper.asked == set()


@pytest.mark.parametrize("name", ["0123456789ab", "base"])
def test_a_stop_of_what_is_no_trial_is_refused(driver, name) -> None:
    told = driver.stop(name)
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
    original = at_rate(driver.context, 1e-3).id
    request = Request(kind="clone", trial=original, changes={"learning_rate": 3e-4})
    driver.ask(request, ID)
    del driver.client.tags[ANSWERED + ID]  # killed before it answered
    driver.start_again()
    told = driver.look(ID)
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


HOSTILE = [
    ("note", "please stop lora"),
    (ID, "please stop lora"),
    (ID, ""),
    (ID, "[" * 3000),
    (ID, '"stop"'),
    (ID, '{"kind": "delete", "trial": "x"}'),
    (ID, '{"kind": "stop"}'),
    (ID, '{"kind": "stop", "trial": 5}'),
    (ID, '{"kind": "stop", "trial": "x", "id": "/../../victim"}'),
    (ID, '{"kind": "clone", "trial": "x", "from_checkpoint": 1}'),
    (ID, json.dumps({"kind": "stop", "trial": "x" * 4900})),
    ("../../victim", '{"kind": "stop", "trial": "x"}'),
    ("/victim", '{"kind": "clone", "trial": "x", "from_checkpoint": true}'),
    (ID.upper(), '{"kind": "stop", "trial": "x"}'),
]


@pytest.mark.parametrize(("name", "text"), HOSTILE)
def test_what_is_no_request_is_answered_once_and_touches_nothing(
    driver, tmp_path, name, text
) -> None:
    (tmp_path / "victim.pt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert driver.write(name, text) == {"ok": False, "text": "not a request"}
    driver.client.set_tag = None  # a second answer would fail
    driver.look(name)
    assert sorted(tmp_path.rglob("*")) == before
    assert (driver.stopper.asked, driver.announced) == (set(), [])


@given(
    name=st.text(max_size=20) | st.just(ID),
    text=st.text(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "trial", "changes", "from_checkpoint", "id"]),
                inner | st.sampled_from(["stop", "clone"]),
            )
        ),
        max_leaves=8,
    ).map(json.dumps),
)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_in_any_tag_is_answered(driver, tmp_path, name, text) -> None:
    driver.start_again()
    driver.client.tags.clear()
    before = sorted(tmp_path.rglob("*"))
    told = driver.write(name, text)
    assert told is not None
    assert told["ok"] is False
    assert sorted(tmp_path.rglob("*")) == before


def test_an_answer_that_cannot_be_written_is_not_tried_again(driver) -> None:
    def refuse(*args) -> None:
        raise ValueError("the name of the tag is too long")

    real, driver.client.set_tag = driver.client.set_tag, refuse
    driver.client.tags[ASKED + "note"] = "please stop lora"
    with pytest.raises(ValueError, match="too long"):
        driver.look("note")
    driver.client.set_tag = real
    assert driver.look("note") is None


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"data.select.max_samples": 5}, "data.select"), ({"seed": 3}, "seed"), ({}, "nothing is")],
)
def test_a_request_may_change_what_lnt_trial_may(driver, changes, part) -> None:
    told = driver.clone(at_rate(driver.context, 1e-3).id, **changes)
    assert told["ok"] is False
    assert part in told["text"]


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

    @pytest.mark.parametrize("way", sorted(WAYS))
    def test_with_a_damaged_one_it_is_refused(self, driver, way) -> None:
        path = self.checkpoint(driver, 4)
        WAYS[way](path, random.Random(way))
        told = driver.clone(at_rate(driver.context, 1e-3).id, True, learning_rate=3e-4)
        assert told["ok"] is False
        assert "is damaged" in told["text"]
        assert not list(driver.context.execution.path.glob(".*.pt"))

    def test_with_the_checkpoint_of_deepspeed_it_is_refused_by_name(self, driver) -> None:
        original = at_rate(driver.context, 1e-3)
        shards(driver.context.execution.trial(original.id) / "checkpoint.pt").mkdir(parents=True)
        told = driver.clone(original.id, True, learning_rate=3e-4)
        assert told["ok"] is False
        assert "DeepSpeed" in told["text"]

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
