"""The MLflow run of a trial: created, updated, closed, reopened after a resume."""

import errno
import random
import time
from pathlib import Path

import pytest

from lnt_core.analysis.trial_analysis import ANALYSIS
from lnt_core.files import write_json
from sweeps.plan.load import load_sweep, preset_names
from sweeps.plan.trials import trials
from sweeps.storage.events import EVENTS
from sweeps.storage.execution import TRACKED, Result
from sweeps.tracking import runs as runs_module
from sweeps.tracking.runs import TrialRun, flat
from sweeps.tracking.store import experiment_id
from tests.damage import WAYS, flip
from tests.sweeps.executions import log_losses, tiny_sweep, track, trial_runs

MAX_PARAMS = 100
"""MLflow's limit per request; above it, the tracker would retry for ever."""
MAX_VALUE = 6000


@pytest.fixture
def trial(sweep) -> TrialRun:
    return trial_runs(sweep)[0]


def runs_of(client, sweep, kind: str):
    found = client.search_runs([experiment_id(client, sweep.name)], f"tags.`lnt.kind` = '{kind}'")
    return list(found)


def logged_steps(client, run) -> list[int]:
    return [m.step for m in client.get_metric_history(run.info.run_id, "train/loss")]


DONE = Result("finished", 3, {"select/cider": 12.5})


def test_a_trial_is_a_run_below_its_sweep(client, sweep, execution, trial) -> None:
    sent = track(client, sweep, execution)
    sent.started(trial)
    log_losses(execution, trial, {1: 1.0, 2: 1 / 2, 3: 1 / 3})
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


@pytest.mark.parametrize("lose", [None, Path.unlink, *WAYS.values()])
def test_after_a_kill_the_same_runs_go_on(lose, client, sweep, execution, trial) -> None:
    killed = track(client, sweep, execution)
    killed.started(trial)
    log_losses(execution, trial, {1: 1.0, 2: 1 / 2})
    killed.flush()
    killed._outbox._stopping.set()  # the thread ends, nothing is closed: as after kill -9
    killed._outbox._thread.join()
    path = execution.trial(trial.trial_id) / TRACKED
    if lose is not None:
        lose(path) if lose is Path.unlink else lose(path, random.Random(0))
    resumed = track(client, sweep, execution)
    resumed.started(trial)
    log_losses(execution, trial, {2: 1 / 2, 3: 1 / 3})
    resumed.ended(trial, DONE)
    resumed.close("FINISHED")
    assert len(runs_of(client, sweep, "sweep")) == 1
    (run,) = runs_of(client, sweep, "trial")
    assert run.info.status == "FINISHED"
    assert logged_steps(client, run) == [1, 2, 3]


def test_points_that_mlflow_has_are_not_sent_again_when_events_are_written_anew(
    client, sweep, execution, trial
) -> None:
    killed = track(client, sweep, execution)
    killed.started(trial)
    log_losses(execution, trial, {1: 1.0, 2: 1 / 2})
    killed.flush()
    killed.flush()  # an order is carried out after the events before it
    killed._outbox._stopping.set()
    killed._outbox._thread.join()
    (execution.trial(trial.trial_id) / EVENTS).unlink()
    resumed = track(client, sweep, execution)
    resumed.started(trial)
    time.sleep(0.01)  # at another time, the same point would be another one
    log_losses(execution, trial, {1: 1.0, 2: 1 / 2, 3: 1 / 3})
    resumed.ended(trial, DONE)
    resumed.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert logged_steps(client, run) == [1, 2, 3]


def test_a_trial_whose_events_are_damaged_is_told_and_leaves_no_run_open(
    client, sweep, execution, trial
) -> None:
    sent = track(client, sweep, execution)
    log_losses(execution, trial, {1: 1.0})
    flip(execution.trial(trial.trial_id) / EVENTS, random.Random(0))
    sent.ended(trial, DONE)
    sent.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert run.info.status == "KILLED"
    assert sent.refused == [
        f"DamagedError: {execution.trial(trial.trial_id) / EVENTS} is damaged (the checksum of a "
        "line is another)"
    ]


def test_an_ended_trial_is_not_sent_twice(client, sweep, execution, trial) -> None:
    for _ in range(2):
        sent = track(client, sweep, execution)
        log_losses(execution, trial, {1: 1.0})
        sent.ended(trial, DONE)
        sent.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert logged_steps(client, run) == [1]


def test_an_interrupted_run_is_killed_and_opened_again(client, sweep, execution, trial) -> None:
    sent = track(client, sweep, execution)
    sent.started(trial)
    sent.interrupted()
    sent.close("KILLED")
    assert {r.info.status for r in client.search_runs([experiment_id(client, sweep.name)])} == {
        "KILLED"
    }
    resumed = track(client, sweep, execution)
    resumed.started(trial)
    resumed.ended(trial, DONE)
    resumed.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert (run.info.status, run.data.tags["lnt.status"]) == ("FINISHED", "finished")


@pytest.mark.parametrize("full", ["write_json", "draw_layers"])
def test_on_a_full_disk_its_run_is_killed_and_a_resume_ends_it(
    full, client, sweep, execution, trial, monkeypatch
) -> None:
    def fail(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(runs_module, full, fail)
        sent = track(client, sweep, execution)
        log_losses(execution, trial, {1: 1.0})
        write_json(execution.trial(trial.trial_id) / ANALYSIS, {})
        sent.ended(trial, DONE)
        sent.interrupted()
        sent.close("KILLED", patience_s=60)
    (run,) = runs_of(client, sweep, "trial")
    assert (run.info.status, run.data.tags["lnt.status"]) == ("KILLED", "interrupted")
    monkeypatch.setattr(runs_module, "draw_layers", lambda *_: None)
    resumed = track(client, sweep, execution)
    resumed.ended(trial, DONE)
    resumed.close("FINISHED")
    (same,) = runs_of(client, sweep, "trial")
    assert (same.info.run_id, same.info.status) == (run.info.run_id, "FINISHED")
    assert logged_steps(client, same) == [1]


def test_a_failed_trial_that_is_tried_again_ends_as_it_ends_then(
    client, sweep, execution, trial
) -> None:
    first = track(client, sweep, execution)
    first.ended(trial, Result("failed", 1, error="boom"))
    first.close("FAILED")
    second = track(client, sweep, execution)
    second.started(trial)
    log_losses(execution, trial, {1: 1.0, 2: 1 / 2})
    second.ended(trial, DONE)
    second.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert (run.info.status, run.data.tags["lnt.status"]) == ("FINISHED", "finished")
    assert logged_steps(client, run) == [1, 2]


def test_a_failed_trial_carries_its_traceback(client, sweep, execution, trial) -> None:
    sent = track(client, sweep, execution)
    sent.ended(trial, Result("failed", 1, error="Traceback: boom"))
    sent.close("FAILED")
    (run,) = runs_of(client, sweep, "trial")
    assert run.info.status == "FAILED"
    assert [f.path for f in client.list_artifacts(run.info.run_id)] == ["error.txt"]


@pytest.mark.parametrize("preset", preset_names())
def test_the_params_of_every_preset_fit_into_one_request(preset) -> None:
    sweep = load_sweep(preset)
    for config in (sweep, *(trial.config for trial in trials(sweep))):
        params = flat(config.model_dump(mode="json", exclude_none=True))
        assert len(params) <= MAX_PARAMS
        assert max(map(len, params.values())) <= MAX_VALUE


def test_only_options_of_the_own_strategy_are_tracked(tmp_path) -> None:
    search = {"strategy": ["full", {"name": "lora", "rank": 8}], "learning_rate": [1e-3]}
    given = trials(tiny_sweep(tmp_path, "sqlite:///m.db", search=search))
    full, lora = (flat(t.config.model_dump(mode="json", exclude_none=True)) for t in given)
    assert [key for key in full if key.startswith("strategy.")] == ["strategy.name"]
    assert lora["strategy.rank"] == "8"


def test_scores_after_the_end_are_added_to_the_run_once_and_it_stays_closed(
    client, sweep, execution, trial
) -> None:
    sent = track(client, sweep, execution)
    sent.started(trial)
    log_losses(execution, trial, {3: 1.0})
    execution.write_result(trial.trial_id, DONE)
    sent.ended(trial, DONE)
    folder = execution.path / "reported"
    folder.mkdir()
    (folder / "summary.json").write_text("{}")
    (folder / "answers_pope.jsonl").write_text("{}")
    for _ in range(2):
        sent.reported(trial.trial_id, {"pope/f1": 50.0}, folder)
    sent.flush()
    (execution.trial(trial.trial_id) / TRACKED).unlink()  # a resumed driver finds it by its tags
    sent.reported(trial.trial_id, {"pope/f1": 50.0}, folder)
    sent.close("FINISHED")
    (run,) = runs_of(client, sweep, "trial")
    assert run.info.status == "FINISHED"
    (point,) = client.get_metric_history(run.info.run_id, "pope/f1")
    assert (point.step, point.value) == (3, 50.0)
    artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"summary.json", "answers_pope.jsonl"} <= artifacts
    assert not sent.refused
