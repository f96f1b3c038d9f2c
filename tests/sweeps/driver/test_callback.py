"""What the driver does when Ray Tune says that a trial started, moved on or ended."""

import pickle
from types import SimpleNamespace

import pytest

from lnt_core.errors import LntError
from sweeps.driver.callback import DriverCallback, SweepStopper, last_error, trial_run
from sweeps.driver.queue import TrialQueue
from sweeps.driver.ray_patches import KILLED_FOR_MEMORY
from sweeps.driver.stages_1 import Stages1
from sweeps.driver.weights import WinnerWeights
from sweeps.storage.execution import TrialStatus
from sweeps.worker.out_of_memory import TOO_LITTLE_MEMORY, num_kills
from tests.sweeps.driver.executions import at_rate, context_of, finish


class Recorder:
    """Stands for the tracker or the live table: remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def __getattr__(self, name):
        return lambda *args, **options: self.told.append((name, *args, *options.values()))

    def names(self) -> list[str]:
        return [name for name, *_ in self.told]


class Driver:
    """A callback whose execution, queue and weights are real."""

    def __init__(self, folder, **changes) -> None:
        self.context = context_of(folder, **changes)
        self.execution = self.context.execution
        self.tracker, self.table = Recorder(), Recorder()
        self.stages_1 = Stages1(self.context, self.tracker, {})
        self.tracker.told.clear()  # which stage 1 to follow
        self.follow(TrialQueue([], more=list))
        self.trial = at_rate(self.context, 1e-3)

    def follow(self, queue: TrialQueue) -> None:
        self.queue = queue
        weights, tags = WinnerWeights(self.execution), {"lnt.sweep": "s"}
        self.callback = DriverCallback(
            self.context, self.tracker, self.table, queue, weights, tags, self.stages_1
        )

    def tune_trial(self, **last_result):
        """Ray Tune's own object of the trial."""
        return SimpleNamespace(
            trial_id="tune-1",
            config={"trial": self.trial.id},
            last_result=last_result,
            error_file=None,
        )

    def start(self) -> None:
        self.callback.on_trial_start(0, [], self.tune_trial())


@pytest.fixture
def driver(tmp_path) -> Driver:
    return Driver(tmp_path)


def test_a_start_is_told_to_the_tracker_and_the_table(driver) -> None:
    driver.start()
    ((_, run),) = driver.tracker.told
    assert (run.trial_id, run.name) == (driver.trial.id, "layernorm lr=1e-3")
    assert driver.table.told == [("started", driver.trial.id, "layernorm lr=1e-3")]


def test_a_finished_trial_ends_as_its_worker_wrote(driver) -> None:
    driver.start()
    result = finish(driver.context, driver.trial, 5.0)
    driver.callback.on_trial_complete(0, [], driver.tune_trial(status="finished"))
    assert driver.tracker.told[-1] == ("ended", *driver.tracker.told[0][1:], result)
    assert driver.table.told[-1] == ("ended", driver.trial.id, driver.trial.name, result)


@pytest.mark.parametrize(("asked", "by"), [(False, ""), (True, "user")])
def test_a_trial_that_was_stopped_is_recorded_with_who_stopped_it(driver, asked, by) -> None:
    driver.start()
    if asked:
        driver.callback.stopper.stop(driver.trial.id)
    driver.callback.on_trial_complete(0, [], driver.tune_trial(status="running", step=4))
    result = driver.execution.result(driver.trial.id)
    assert (result.status, result.steps, result.stopped_by) == (TrialStatus.STOPPED, 4, by)


def test_a_trial_that_the_budget_left_out_has_no_result(driver) -> None:
    driver.start()
    told = {"status": "left_out", "reason": "budget.trials is 1"}
    driver.callback.on_trial_complete(0, [], driver.tune_trial(**told))
    assert driver.execution.result(driver.trial.id) is None
    assert driver.callback.left_out == {"layernorm lr=1e-3": "budget.trials is 1"}
    assert driver.tracker.names() == ["started", "left_out"]
    assert driver.table.names() == ["started", "left_out"]


def test_a_full_disk_ends_the_whole_sweep(driver) -> None:
    driver.start()
    assert not driver.callback.stopper.stop_all()
    driver.callback.on_trial_complete(0, [], driver.tune_trial(status="disk_full"))
    assert driver.callback.stopper.stop_all()
    assert driver.execution.result(driver.trial.id) is None


def with_error(driver, tmp_path, text: str):
    trial = driver.tune_trial(step=3)
    trial.error_file = str(tmp_path / "error.txt")
    (tmp_path / "error.txt").write_text(f"Failure # 1\nold\n\nFailure # 2 (occurred)\n{text}\n")
    return trial


def test_a_process_that_died_too_often_fails_its_trial_with_the_last_error(
    driver, tmp_path
) -> None:
    driver.start()
    driver.callback.on_trial_error(0, [], with_error(driver, tmp_path, "segmentation fault"))
    result = driver.execution.result(driver.trial.id)
    assert (result.status, result.steps) == (TrialStatus.FAILED, 3)
    assert result.error == "its process died: segmentation fault"


def test_a_process_killed_for_memory_too_often_is_told_what_to_lower(driver, tmp_path) -> None:
    driver.start()
    driver.callback.on_trial_error(0, [], with_error(driver, tmp_path, KILLED_FOR_MEMORY))
    assert driver.execution.result(driver.trial.id).error == TOO_LITTLE_MEMORY


@pytest.mark.parametrize(("error", "kills"), [(KILLED_FOR_MEMORY, 1), ("a bug", 0)])
def test_only_a_kill_for_memory_is_counted_for_the_next_attempt(
    driver, tmp_path, error, kills
) -> None:
    driver.callback.on_trial_recover(0, [], with_error(driver, tmp_path, error))
    assert num_kills(driver.execution.trial(driver.trial.id)) == kills


def test_the_weights_of_a_beaten_trial_go_at_once(driver) -> None:
    better = at_rate(driver.context, 1e-4)
    for trial, score in ((driver.trial, 1.0), (better, 2.0)):
        finish(driver.context, trial, score)
        tune_trial = driver.tune_trial(status="finished")
        tune_trial.trial_id, tune_trial.config = f"tune-{score}", {"trial": trial.id}
        driver.callback.on_trial_complete(0, [], tune_trial)
    kept = [
        t.id for t in (driver.trial, better) if (driver.execution.trial(t.id) / "weights").exists()
    ]
    assert kept == [better.id]


def test_the_stopper_ends_only_running_trials_that_were_asked_for() -> None:
    stopper = SweepStopper()
    stopper.stop("a")
    assert stopper("tune", {"status": "running", "trial": "a"})
    assert not stopper("tune", {"status": "running", "trial": "b"})
    assert not stopper("tune", {"status": "finished", "trial": "a"})


def test_tags_say_what_the_trial_is_and_nothing_is_empty(driver) -> None:
    run = trial_run(driver.context, driver.trial, {"lnt.sweep": "s"})
    assert run.tags["lnt.kind"] == "trial"
    assert run.tags["lnt.num_steps"] == "10"
    assert run.tags["lnt.sweep"] == "s"
    assert {"lnt.added", "lnt.cloned_from", "lnt.started_at_step"}.isdisjoint(run.tags)
    assert all(run.tags.values())


def test_a_trial_without_an_error_file_has_no_last_error(driver) -> None:
    assert last_error(driver.tune_trial()) == ""


def test_ray_may_pickle_it_into_its_snapshot(driver) -> None:
    assert isinstance(pickle.loads(pickle.dumps(driver.callback)), DriverCallback)


class TestBase:
    """The untuned base runs as a trial of Ray Tune, but is none of the sweep's."""

    @pytest.fixture
    def base_first(self, driver) -> Driver:
        driver.follow(TrialQueue([driver.trial.id], more=list, base="new"))
        assert driver.queue.suggest("tune-base") == {"trial": "base"}
        driver.callback.on_trial_start(0, [], self.of(driver))
        return driver

    def of(self, driver, **last_result):
        trial = driver.tune_trial(**last_result)
        trial.trial_id, trial.config = "tune-base", {"trial": "base"}
        return trial

    def test_trials_start_when_it_is_prepared(self, base_first) -> None:
        trial = self.of(base_first)
        stage_1 = {"status": "starting", "step": 5, "loss": 0.5}
        base_first.callback.on_trial_result(0, [], trial, stage_1)
        assert base_first.queue.suggest("tune-1") is None
        prepared = {"status": "running", "step": 0}
        base_first.callback.on_trial_result(0, [], trial, prepared)
        assert base_first.queue.suggest("tune-1") == {"trial": base_first.trial.id}
        shown = [result for name, _, result in base_first.table.told[1:]]
        assert shown == [stage_1, prepared]

    def test_before_it_is_the_stage_1_of_a_group(self, driver) -> None:
        driver.follow(TrialQueue([driver.trial.id], more=list, base="new", stages_1=["abc"]))
        trial = self.of(driver, status="finished")
        trial.config = driver.queue.suggest("tune-base")
        assert trial.config == {"trial": "align-abc"}
        driver.callback.on_trial_start(0, [], trial)
        progress = {"status": "starting", "step": 5, "loss": 0.5}
        driver.callback.on_trial_result(0, [], trial, progress)
        driver.callback.on_trial_complete(0, [], trial)
        assert driver.table.told == [
            ("stage_1_started", "align-abc", "stage 1"),
            ("progress", "align-abc", progress),
            ("stage_1_ended", "align-abc"),
        ]
        assert driver.tracker.told == []
        assert not driver.callback.stopper.stop_all()
        trial.last_result = {"status": "failed", "error": "stage 1 diverged"}
        driver.callback.on_trial_complete(0, [], trial)
        assert driver.callback.stopper.stop_all()

    def test_its_scores_go_to_the_parent_run_and_it_is_no_trial(self, base_first) -> None:
        (base_first.execution.path / "base").mkdir()
        base_first.execution.write_base({"select/cider": 3.5})
        base_first.callback.on_trial_complete(0, [], self.of(base_first, status="finished"))
        assert base_first.tracker.told == [("parent_metrics", {"base/select/cider": 3.5})]
        assert base_first.table.told[-1] == ("base_ended", 3.5, "")
        assert not base_first.callback.stopper.stop_all()
        base_first.callback.base.check()

    def test_without_a_score_it_says_why_and_the_sweep_goes_on(self, base_first) -> None:
        (base_first.execution.path / "base").mkdir()
        base_first.execution.write_base({"pope/f1": 50.0}, "select cannot be scored: no")
        base_first.callback.on_trial_complete(0, [], self.of(base_first, status="finished"))
        assert base_first.tracker.told == [
            ("parent_metrics", {"base/pope/f1": 50.0}),
            ("parent_tags", {"lnt.base_note": "select cannot be scored: no"}),
        ]
        assert base_first.table.told[-1] == ("base_ended", None, "select cannot be scored: no")
        assert not base_first.callback.stopper.stop_all()

    def test_what_it_fails_with_ends_the_sweep(self, base_first) -> None:
        failed = self.of(base_first, status="failed", error="stage 1 diverged")
        base_first.callback.on_trial_complete(0, [], failed)
        assert base_first.callback.stopper.stop_all()
        with pytest.raises(LntError, match="stage 1 diverged"):
            base_first.callback.base.check()

    def test_so_does_a_process_that_dies_too_often(self, base_first, tmp_path) -> None:
        trial = with_error(base_first, tmp_path, "killed")
        trial.config = {"trial": "base"}
        base_first.callback.on_trial_recover(0, [], trial)
        assert not base_first.callback.stopper.stop_all()
        base_first.callback.on_trial_error(0, [], trial)
        assert base_first.callback.stopper.stop_all()
        with pytest.raises(LntError, match="the process that prepares the base model died: killed"):
            base_first.callback.base.check()
