"""What is damaged in an execution is made again before it is resumed, or forgotten."""

import json
import random
from dataclasses import replace

import pytest

from lnt_core.errors import ConfigError
from lnt_core.files import checksums, read_yaml, write_json
from lnt_core.outcome import ENDED, TrialResult, write_result
from sweeps.plan.trials import trials
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import RAN, RESULT, SWEEP, TRACKED, TRIAL, Execution, Result
from sweeps.storage.mending import mend
from sweeps.storage.trials import (
    COPY,
    ORIGIN,
    _read,
    add_trial,
    all_trials,
    read_trial,
    write_config,
)
from sweeps.worker.context import Context
from tests.damage import WAYS, empty, set_aside
from tests.sweeps.driver.executions import at_rate, context_of

METRICS = {
    "select/cider": 0.1 + 0.2,
    "train/final_loss": 1.0,
    "train/micro_batch_size": 4,
    "train/gradient_checkpointing": 1.0,
    "time/prepare_s": 1.0,
    "time/train_s": 2.0,
    "time/evaluate_s": 3.0,
}
EACH_WAY = [pytest.param(way, id=name) for name, way in WAYS.items()]


@pytest.fixture
def context(tmp_path) -> Context:
    return context_of(tmp_path)


@pytest.fixture
def execution(context) -> Execution:
    return context.execution


@pytest.fixture
def trial(context):
    """A trial that has ended, and MLflow knows nothing of it."""
    trial = at_rate(context, 1e-3)
    folder = context.execution.trial(trial.id)
    (folder / "captions_select.jsonl").write_text('{"image": "a.png"}\n')
    files = checksums(folder, [folder / "captions_select.jsonl"])
    write_result(TrialResult("finished", 10, METRICS, files), trial.config, folder)
    context.execution.write_result(
        trial.id, Result("finished", 10, METRICS, files=files, took_s=6.0)
    )
    log = EventLog(folder / EVENTS)
    log.write(10, {"train/loss": 1.0, "train/final_loss": 1.0})
    log.close()
    write_config(trial.config.with_micro_batch(4).with_checkpointing(on=True), folder / RAN)
    return trial


def mended(context: Context) -> None:
    """As a driver of another process would."""
    _read.cache_clear()
    mend(context.execution, context.sweep, trials(context.sweep))


def damage(path, way) -> bytes:
    before = path.read_bytes()
    way(path, random.Random(path.name))
    return before


@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("name", [ORIGIN, COPY, TRIAL])
@pytest.mark.parametrize("added_by", ["", "clone"])
def test_what_a_trial_is_is_written_again(added_by, name, way, context, execution) -> None:
    trial = at_rate(context, 1e-3)
    if added_by:
        config = trial.config.model_copy(update={"learning_rate": 5e-4})
        trial = replace(trial, config=config, added_by=added_by, request="r1")
        add_trial(execution, trial)
    before = damage(execution.trial(trial.id) / name, way)
    order = list(all_trials(execution))
    mended(context)
    assert (execution.trial(trial.id) / name).read_bytes() == before
    assert read_trial(execution, trial.id) == trial
    assert list(all_trials(execution)) == order
    assert set_aside(execution.path) == [f"{name}.damaged-1"]


def test_a_planned_trial_of_which_nothing_is_whole_is_planned_anew(context, execution) -> None:
    trial = at_rate(context, 1e-3)
    for name in (ORIGIN, COPY, TRIAL):
        damage(execution.trial(trial.id) / name, empty)
    mended(context)
    assert read_trial(execution, trial.id) == trial


def test_an_added_trial_of_which_nothing_is_whole_is_told(context, execution) -> None:
    trial = at_rate(context, 1e-3)
    config = trial.config.model_copy(update={"learning_rate": 5e-4})
    clone = replace(trial, config=config, added_by="clone")
    add_trial(execution, clone)
    for name in (ORIGIN, COPY):
        damage(execution.trial(clone.id) / name, empty)
    with pytest.raises(ConfigError, match=f"{clone.id}/origin.json and origin.copy.json beside"):
        mended(context)
    assert set_aside(execution.path) == []


def test_a_trial_that_was_being_added_is_left_alone(context, execution) -> None:
    (execution.trial("f" * 12)).mkdir()
    (execution.trial("f" * 12) / "checkpoint.pt").write_bytes(b"x")
    mended(context)
    assert len(all_trials(execution)) == 2


@pytest.mark.parametrize("way", EACH_WAY)
def test_a_lost_result_is_the_one_that_the_trial_left(way, trial, context, execution) -> None:
    before = damage(execution.trial(trial.id) / RESULT, way)
    mended(context)
    assert json.loads((execution.trial(trial.id) / RESULT).read_bytes()) == json.loads(before)
    assert set_aside(execution.path) == [f"{RESULT}.damaged-1"]


def test_a_result_that_was_not_written_is_too(trial, context, execution) -> None:
    (execution.trial(trial.id) / RESULT).unlink()
    (execution.trial(trial.id) / RAN).unlink()
    (execution.trial(trial.id) / "checkpoint.pt").touch()
    mended(context)
    assert execution.result(trial.id).score == METRICS["select/cider"]
    ran = read_yaml(execution.trial(trial.id) / RAN)["train"]
    assert (ran["micro_batch_size"], ran["gradient_checkpointing"]) == (4, True)
    assert not (execution.trial(trial.id) / "checkpoint.pt").exists()


@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("name", [EVENTS, "captions_select.jsonl"])
def test_a_trial_that_lost_something_it_left_is_run_again(
    name, way, trial, context, execution
) -> None:
    damage(execution.trial(trial.id) / name, way)
    mended(context)
    assert execution.result(trial.id) is None
    assert not (execution.trial(trial.id) / ENDED).exists()


def test_a_trial_that_diverged_is_too(trial, context, execution) -> None:
    execution.write_result(trial.id, Result("diverged", 10, METRICS))
    mended(context)
    assert execution.result(trial.id).status == "diverged"
    damage(execution.trial(trial.id) / EVENTS, empty)
    mended(context)
    assert execution.result(trial.id) is None


def test_events_that_mlflow_has_are_not_missed(trial, context, execution) -> None:
    write_json(execution.trial(trial.id) / TRACKED, {"run_id": "r", "closed": True})
    damage(execution.trial(trial.id) / EVENTS, empty)
    mended(context)
    assert execution.result(trial.id) is not None


@pytest.mark.parametrize("way", EACH_WAY)
def test_the_config_that_ran_is_written_again(way, trial, context, execution) -> None:
    before = damage(execution.trial(trial.id) / RAN, way)
    mended(context)
    assert (execution.trial(trial.id) / RAN).read_bytes() == before


@pytest.mark.parametrize("way", EACH_WAY)
@pytest.mark.parametrize("name", ["base.json", "base/samples.jsonl"])
def test_a_damaged_base_is_scored_again(name, way, context, execution) -> None:
    (execution.path / "base").mkdir()
    (execution.path / "base" / "samples.jsonl").write_text("{}\n")
    execution.write_base({"select/cider": 3.5})
    mended(context)
    assert execution.base_scores() == {"select/cider": 3.5}
    damage(execution.path / name, way)
    mended(context)
    assert execution.base_scores() is None
    assert set_aside(execution.path) == ["base.json.damaged-1"]


@pytest.mark.parametrize("way", EACH_WAY)
def test_the_kept_sweep_file_is_written_again(way, context, execution) -> None:
    before = damage(execution.path / SWEEP, way)
    mended(context)
    assert (execution.path / SWEEP).read_bytes() == before


def test_nothing_happens_to_what_is_whole(trial, context, execution) -> None:
    files = {p: p.read_bytes() for p in execution.path.rglob("*") if p.is_file()}
    mended(context)
    assert {p: p.read_bytes() for p in execution.path.rglob("*") if p.is_file()} == files
