"""The folder of an execution: which one is resumed, and who may work in it."""

import random
import subprocess
import sys

import pytest

from lnt_core.errors import ConfigError
from sweeps.config import SweepConfig
from sweeps.plan.load import load_sweep
from sweeps.storage.execution import (
    KILLS,
    TRACKED,
    Execution,
    Result,
    latest_execution,
    mend_head,
    new_execution,
)
from tests.damage import WAYS, empty, set_aside


@pytest.fixture
def sweep(tmp_path) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {"strategy": [{"name": "lora", "rank": [4, 8]}], "learning_rate": "paper"},
            "tracking": {"storage": str(tmp_path / "runs")},
        }
    )


def test_the_kept_sweep_file_is_the_same_sweep(sweep) -> None:
    kept = new_execution(sweep).path / "sweep.yaml"
    assert load_sweep(str(kept)) == sweep


def test_resume_takes_the_newest_execution_of_this_sweep(sweep) -> None:
    first, second = new_execution(sweep), new_execution(sweep)
    assert first.path != second.path
    assert latest_execution(sweep) == second


def test_resume_without_anything_to_resume_is_refused(sweep, tmp_path) -> None:
    with pytest.raises(ConfigError) as refusal:
        latest_execution(sweep)
    assert str(refusal.value) == (
        f"{tmp_path / 'runs' / 's'} has no execution to resume; run without --resume"
    )


def test_resume_of_a_changed_sweep_is_refused(sweep) -> None:
    started = new_execution(sweep)
    with pytest.raises(ConfigError) as refusal:
        latest_execution(sweep.model_copy(update={"seed": 1}))
    assert str(refusal.value) == (
        f"the sweep has changed since {started.id} was started: compare it with "
        f"{started.path / 'sweep.yaml'}, or run without --resume"
    )


def test_resume_passes_over_a_newer_execution_of_another_sweep(sweep) -> None:
    mine = new_execution(sweep)
    new_execution(sweep.model_copy(update={"seed": 1}))
    assert latest_execution(sweep) == mine


@pytest.mark.parametrize(
    "change", ["resources.cpus_per_trial=2", "resources.max_concurrent_trials=1"]
)
def test_resume_on_another_machine_is_the_same_sweep(change, sweep) -> None:
    started = new_execution(sweep)
    changed = load_sweep(str(started.path / "sweep.yaml"), (change,))
    assert changed != sweep
    assert latest_execution(changed) == started


def test_an_execution_killed_while_it_was_made_is_passed_over(sweep) -> None:
    whole, torn = new_execution(sweep), new_execution(sweep)
    (torn.path / "execution.json").unlink()
    assert latest_execution(sweep) == whole


@pytest.mark.heavy
def test_a_driver_in_another_process_keeps_this_one_away(sweep) -> None:
    execution = new_execution(sweep)
    code = (
        "import sys; from pathlib import Path; from sweeps.storage.execution import Execution\n"
        "with Execution(Path(sys.argv[1])).locked():\n"
        "    print('locked', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(execution.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigError) as refused, execution.locked():
            pass
        assert str(refused.value) == f"another `lnt run` is running in {execution.path}"
    finally:
        other.kill()
        other.communicate()
    with execution.locked():  # a killed driver holds nothing
        pass


def test_a_result_is_read_back_as_written(tmp_path) -> None:
    execution = Execution(tmp_path)
    score = 0.1 + 0.2
    execution.write_result("t", Result("finished", 3, {"select/cider": score}))
    assert execution.result("t").score == score
    assert execution.results() == {"t": Result("finished", 3, {"select/cider": score})}


def test_only_a_finished_trial_has_a_score() -> None:
    assert Result("stopped", 3, {"select/cider": 5.0}).score is None


def test_a_trial_whose_result_is_forgotten_begins_with_no_kill_counted(sweep) -> None:
    execution = new_execution(sweep)
    execution.write_result("a", Result("failed"))
    kills = execution.trial("a") / KILLS
    kills.write_text("2")
    execution.forget_result("a")
    assert execution.result("a") is None
    assert not kills.exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_head_is_made_again_from_the_sweep_file(way, sweep) -> None:
    started = new_execution(sweep)
    path = started.path / "execution.json"
    whole = path.read_bytes()
    WAYS[way](path, random.Random(1))
    assert latest_execution(sweep) == started
    mend_head(started.path, sweep)
    assert path.read_bytes() == whole
    assert set_aside(started.path) == ["execution.json.damaged-1"]


def test_a_damaged_head_is_still_that_of_another_sweep(sweep) -> None:
    started = new_execution(sweep)
    empty(started.path / "execution.json", random.Random(1))
    with pytest.raises(ConfigError, match="the sweep has changed since"):
        latest_execution(sweep.model_copy(update={"seed": 1}))


def test_without_head_and_sweep_file_an_execution_is_not_guessed_at(sweep) -> None:
    started = new_execution(sweep)
    for name in ("execution.json", "sweep.yaml"):
        empty(started.path / name, random.Random(1))
    with pytest.raises(ConfigError, match=r"is damaged \(it is empty\), and so is sweep.yaml"):
        latest_execution(sweep)


def test_what_an_older_version_wrote_without_a_checksum_is_of_another_format(sweep) -> None:
    path = new_execution(sweep).path / "execution.json"
    path.write_text('{"format": 1, "sweep_sha256": "0"}')
    with pytest.raises(ConfigError, match="has format 1, "):
        latest_execution(sweep)


def test_an_execution_is_tracked_once_a_trial_had_a_run(sweep) -> None:
    execution = new_execution(sweep)
    assert not execution.is_tracked
    (execution.trial("a")).mkdir(parents=True)
    (execution.trial("a") / f"{TRACKED}.damaged-1").touch()
    assert execution.is_tracked
