"""The folder of an execution: which one is resumed, and who may work in it."""

import json
import subprocess
import sys

import pytest

from lnt_core.errors import ConfigError
from sweeps.config import SweepConfig
from sweeps.plan.load import load_sweep
from sweeps.storage.execution import (
    KILLS,
    Execution,
    Result,
    latest_execution,
    new_execution,
    write_json,
)


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


def test_who_reads_a_file_while_it_is_written_reads_the_old_one_whole(tmp_path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"runs": [1]})
    with path.open() as reader:
        write_json(path, {"runs": [1, 2]})
        assert json.load(reader) == {"runs": [1]}
    assert json.loads(path.read_text()) == {"runs": [1, 2]}


def test_json_is_written_whole_or_not_at_all_and_leaves_nothing_beside_it(tmp_path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_a_trial_whose_result_is_forgotten_begins_with_no_kill_counted(sweep) -> None:
    execution = new_execution(sweep)
    execution.write_result("a", Result("failed"))
    kills = execution.trial("a") / KILLS
    kills.write_text("2")
    execution.forget_result("a")
    assert execution.result("a") is None
    assert not kills.exists()
