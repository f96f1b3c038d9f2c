"""The order in which trials are handed to Ray Tune, and when it is told that no more come."""

import pickle
from typing import Any

from ray.tune.search import Searcher

from sweeps.driver.queue import TrialQueue


def run(queue: TrialQueue, name: str) -> str | None:
    """Ask for the next trial and start it; its id, or what else the queue says."""
    given = queue.suggest(name)
    if not isinstance(given, dict):
        return given
    queue.started(name)
    return given["trial"]


def test_planned_trials_come_in_order_and_then_nothing() -> None:
    queue = TrialQueue(["1", "2"], more=list)
    assert [run(queue, "a"), run(queue, "b"), run(queue, "c")] == ["1", "2", None]
    queue.on_trial_complete("a")
    assert run(queue, "c") is None
    queue.on_trial_complete("b", error=True)
    assert not queue.finished
    assert run(queue, "c") == Searcher.FINISHED
    assert queue.finished


def test_what_is_put_first_comes_next_until_the_end() -> None:
    queue = TrialQueue(["1", "2"], more=list)
    assert run(queue, "a") == "1"
    assert queue.put_first("9")
    assert queue.put_first("8")
    assert [run(queue, name) for name in "bcd"] == ["9", "8", "2"]
    for name in "abcd":
        queue.on_trial_complete(name)
    assert run(queue, "e") == Searcher.FINISHED
    assert not queue.put_first("7")


def test_more_is_asked_for_only_when_all_has_ended() -> None:
    rounds = [["2", "3"], ["4"], []]
    queue = TrialQueue(["1"], more=lambda: rounds.pop(0))
    assert [run(queue, "a"), run(queue, "b")] == ["1", None]
    assert len(rounds) == 3
    queue.on_trial_complete("a")
    assert [run(queue, "b"), run(queue, "c"), run(queue, "d")] == ["2", "3", None]
    queue.on_trial_complete("b")
    queue.on_trial_complete("c")
    assert run(queue, "d") == "4"
    queue.on_trial_complete("d")
    assert run(queue, "e") == Searcher.FINISHED


class Drawing(Searcher):
    """Draws 100, 101, ... and remembers what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.next, self.told = 100, []

    def suggest(self, trial_id: str) -> str:
        self.next += 1
        return str(self.next - 1)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self.told.append((trial_id, "result"))

    def on_trial_complete(self, trial_id, result=None, error=False) -> None:
        self.told.append((trial_id, "complete"))


def test_a_search_draws_no_further_while_what_it_drew_waits_to_start() -> None:
    queue = TrialQueue([], more=list, drawn=Drawing(), num_drawn=2)
    assert queue.suggest("a") == {"trial": "100"}
    assert queue.suggest("b") is None
    queue.started("a")
    assert run(queue, "b") == "101"
    assert run(queue, "c") is None
    queue.on_trial_complete("a")
    queue.on_trial_complete("b")
    assert run(queue, "c") == Searcher.FINISHED


def test_a_search_hears_of_its_own_trials_alone() -> None:
    search = Drawing()
    queue = TrialQueue([], more=list, drawn=search, num_drawn=1)
    assert queue.put_first("9")
    assert [run(queue, "clone"), run(queue, "drawn")] == ["9", "100"]
    for name in ("clone", "drawn"):
        queue.on_trial_result(name, {"objective": 1.0})
        queue.on_trial_complete(name)
    assert search.told == [("drawn", "result"), ("drawn", "complete")]


def refuse(queue: TrialQueue, name: str, trial: str) -> None:
    refused = {"trial": trial, "status": "node_refused"}
    queue.on_trial_result(name, refused)
    queue.on_trial_complete(name, refused)


def test_a_trial_whose_node_was_refused_comes_again_before_all_others() -> None:
    queue = TrialQueue(["1", "2"], more=list, base="new")
    assert run(queue, "a") == "base"
    refuse(queue, "a", "base")
    assert run(queue, "b") == "base"
    queue.open()
    assert run(queue, "c") == "1"
    refuse(queue, "c", "1")
    assert [run(queue, "d"), run(queue, "e"), run(queue, "f")] == ["1", "2", None]
    for name in "bde":
        queue.on_trial_complete(name)
    assert run(queue, "f") == Searcher.FINISHED


def test_a_search_hears_of_a_trial_that_was_refused_as_the_one_it_drew() -> None:
    search = Drawing()
    queue = TrialQueue([], more=list, drawn=search, num_drawn=1)
    assert run(queue, "first") == "100"
    refuse(queue, "first", "100")
    assert run(queue, "second") == "100"
    refuse(queue, "second", "100")
    assert run(queue, "third") == "100"
    queue.on_trial_result("third", {"objective": 1.0})
    queue.on_trial_complete("third")
    assert search.told == [("first", "result"), ("first", "complete")]


def test_an_empty_queue_is_finished_unless_more_is_to_be_run() -> None:
    queue = TrialQueue([], more=list)
    assert not queue.anything()
    assert queue.finished
    assert TrialQueue([], more=lambda: ["1"]).anything()


def test_ray_may_pickle_it_into_its_snapshot() -> None:
    assert isinstance(pickle.loads(pickle.dumps(TrialQueue(["1"], more=list))), TrialQueue)


def test_the_base_comes_first_and_holds_trials_back_until_it_is_prepared() -> None:
    queue = TrialQueue(["1", "2"], more=list, base="new")
    assert queue.anything()
    assert run(queue, "base's") == "base"
    assert [run(queue, "a"), run(queue, "a")] == [None, None]
    queue.open()
    assert [run(queue, "a"), run(queue, "b")] == ["1", "2"]
    queue.on_trial_complete("a")
    queue.on_trial_complete("b")
    assert run(queue, "c") is None  # the base is still being scored
    queue.on_trial_complete("base's")
    assert run(queue, "c") == Searcher.FINISHED


def test_each_stage_1_of_a_group_comes_before_the_base_and_alone() -> None:
    queue = TrialQueue(["1"], more=list, base="new", stages_1=["a", "b"])
    for name in ("align-a", "align-b"):
        assert run(queue, name) == name
        assert run(queue, "2") is None
        queue.on_trial_complete(name)
    assert run(queue, "base's") == "base"
    assert run(queue, "2") is None
    queue.open()
    assert run(queue, "2") == "1"
    again = TrialQueue(["1"], more=list, stages_1=["a"])  # the base is scored, the cache is lost
    assert again.anything()
    assert [run(again, "a"), run(again, "2")] == ["align-a", None]
    again.on_trial_complete("a")
    assert run(again, "2") == "1"


def test_a_base_alone_is_something_to_run() -> None:
    queue = TrialQueue([], more=list, base="new")
    assert queue.anything()
    assert run(queue, "base's") == "base"
    queue.open()
    queue.on_trial_complete("base's")
    assert run(queue, "a") == Searcher.FINISHED


def test_trials_run_beside_a_base_that_needs_no_preparation() -> None:
    queue = TrialQueue(["1"], more=list, base="prepared")
    assert [run(queue, "base's"), run(queue, "a")] == ["base", "1"]
