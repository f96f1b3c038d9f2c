"""Winners and the base, scored on what trials are not scored on."""

from types import SimpleNamespace

import pytest

from lnt_core.files import write_json
from sweeps.driver.growth import Growth
from sweeps.driver.queue import TrialQueue
from sweeps.driver.report_runs import unreported
from sweeps.results.selection import Trial
from sweeps.storage.reported import (
    Reported,
    forget_errors,
    forget_reported,
    reported,
    reported_folder,
    write_reported,
)
from sweeps.storage.trials import all_trials
from tests.sweeps.driver.executions import at_rate, context_of, finish
from tests.sweeps.driver.test_callback import Driver

POPE = {"report": ["pope"]}
SCORES = {"pope/f1": 66.666, "pope/random/f1": 50.0}


def growth_of(context) -> Growth:
    return Growth(context, num_seeds=1, announce=lambda count, **again: None)


def test_the_base_and_each_winner_are_scored_once_all_trials_have_ended(tmp_path) -> None:
    context = context_of(tmp_path, scenes=POPE, strategy=["layernorm", "full"])
    best = {}
    for number, trial in enumerate(all_trials(context.execution).values()):
        finish(context, trial, float(number))
        best[trial.config.strategy.name] = trial.id
    more = growth_of(context)
    found = more()
    assert found[0] == "report-base"
    assert sorted(found[1:]) == sorted(f"report-{name}" for name in best.values())
    for name in ("base", *best.values()):
        write_reported(context.execution, name, Reported(SCORES))
    assert more() == []


@pytest.mark.parametrize("scenes", [{}, POPE | {"report_when": "trials"}])
def test_nothing_is_scored_at_the_end_if_nothing_is_left_to_report(scenes, tmp_path) -> None:
    context = context_of(tmp_path, scenes=scenes)
    finish(context, at_rate(context, 1e-3), 1.0)
    finish(context, at_rate(context, 1e-4), 2.0)
    assert growth_of(context)() == []


def test_a_new_winner_is_scored_and_so_is_one_that_was_trained_again(tmp_path) -> None:
    context = context_of(tmp_path, scenes=POPE)
    first, second = at_rate(context, 1e-3), at_rate(context, 1e-4)
    finish(context, first, 1.0)
    finish(context, second, 0.5)
    for name in ("base", first.id):
        write_reported(context.execution, name, Reported(SCORES))
    more = growth_of(context)
    assert more() == []
    context.execution.forget_result(second.id)
    (context.execution.trial(second.id) / "weights").rmdir()
    finish(context, second, 2.0)
    assert more() == [f"report-{second.id}"]
    forget_reported(context.execution, first.id)
    assert reported(context.execution, first.id) is None


def test_what_failed_is_told_of_winners_and_tried_again_by_a_resume(tmp_path) -> None:
    context = context_of(tmp_path, scenes=POPE)
    ended = [at_rate(context, rate) for rate in (1e-3, 1e-4)]
    trials = [
        Trial.from_result(t, finish(context, t, s)) for t, s in zip(ended, (2.0, 1.0), strict=True)
    ]
    for trial in ended:
        write_reported(context.execution, trial.id, Reported(error="Traceback ...\nno image"))
    write_reported(context.execution, "base", Reported(SCORES))
    assert growth_of(context)() == []  # once for each driver
    assert unreported(context, trials) == ["layernorm: no image"]
    forget_errors(context.execution)
    assert growth_of(context)() == [f"report-{ended[0].id}"]


def test_damaged_scores_are_made_again(tmp_path) -> None:
    context = context_of(tmp_path, scenes=POPE)
    write_reported(context.execution, "base", Reported(SCORES))
    assert reported(context.execution, "base") == Reported(SCORES)
    (reported_folder(context.execution, "base") / "ended.json").write_text("{")
    assert reported(context.execution, "base") is None


class TestCallback:
    @pytest.fixture
    def driver(self, tmp_path) -> Driver:
        found = Driver(tmp_path, scenes=POPE)
        finish(found.context, found.trial, 5.0)
        return found

    def run(self, driver, name: str, **last_result):
        config = {"trial": f"report-{name}"}
        return SimpleNamespace(
            trial_id="tune-9", config=config, last_result=last_result, error_file=None
        )

    def ended(self, driver, name: str) -> None:
        folder = reported_folder(driver.execution, name)
        write_json(folder / "summary.json", {})
        (folder / "answers_pope.jsonl").write_text("{}\n")
        write_reported(driver.execution, name, Reported(SCORES))
        trial = self.run(driver, name, status="finished")
        driver.callback.on_trial_complete(0, [], trial)

    def test_a_winners_scores_go_to_its_run(self, driver) -> None:
        name = driver.trial.id
        driver.callback.on_trial_start(0, [], self.run(driver, name))
        progress = {"status": "running", "step": 3}
        driver.callback.on_trial_result(0, [], self.run(driver, name), progress)
        self.ended(driver, name)
        assert driver.table.told == [
            ("report_started", f"report-{name}", "pope of layernorm lr=1e-3"),
            ("progress", f"report-{name}", progress),
            ("report_ended", f"report-{name}", "layernorm lr=1e-3: pope/f1 66.67"),
        ]
        folder = reported_folder(driver.execution, name)
        assert driver.tracker.told == [("reported", name, SCORES, folder)]

    def test_what_is_scored_is_logged_though_a_task_failed(self, driver) -> None:
        name = driver.trial.id
        kept = Reported({"pope/f1": 50.0}, "mme cannot be scored: no")
        write_reported(driver.execution, name, kept)
        driver.callback.on_trial_complete(0, [], self.run(driver, name, status="finished"))
        shown = "layernorm lr=1e-3: pope/f1 50, mme cannot be scored: no"
        assert driver.table.told[-1] == ("report_ended", f"report-{name}", shown)
        folder = reported_folder(driver.execution, name)
        assert driver.tracker.told == [("reported", name, kept.scores, folder)]

    def test_the_bases_go_to_the_parent_run(self, driver) -> None:
        self.ended(driver, "base")
        found = {f"base/{name}": value for name, value in SCORES.items()}
        assert driver.tracker.told[0] == ("parent_metrics", found)
        assert driver.tracker.names() == ["parent_metrics"] + ["parent_artifact"] * 2

    def test_a_process_that_dies_too_often_costs_its_scores_alone(self, driver) -> None:
        driver.callback.on_trial_error(0, [], self.run(driver, driver.trial.id))
        assert "its process died" in reported(driver.execution, driver.trial.id).error
        assert driver.tracker.told == []
        assert not driver.callback.stopper.stop_all()

    def test_one_of_a_winner_runs_as_a_process_of_the_queue(self, driver) -> None:
        queue = TrialQueue([], more=growth_of(driver.context))
        assert queue.anything()
        given = queue.suggest("tune-1"), queue.suggest("tune-2")
        assert [one["trial"] for one in given] == ["report-base", f"report-{driver.trial.id}"]
