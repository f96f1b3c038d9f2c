"""What a sweep leaves on disk: events, results, executions, weights."""

import json

import pytest

from lnt_core.errors import ConfigError
from lnt_core.strategies.lora import LoraConfig
from sweeps.config import SweepConfig
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.space import trial_config, trials
from sweeps.storage.events import EventLog, read_events
from sweeps.storage.execution import Execution, Result, latest_execution, new_execution, write_json


@pytest.fixture
def sweep(tmp_path) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {"strategy": ["full"], "learning_rate": [1e-3, 1e-4]},
            "tracking": {"storage": str(tmp_path / "runs")},
        }
    )


def steps(path) -> list[int]:
    return [event.step for event, _ in read_events(path)]


def test_a_step_that_stands_there_is_not_written_again(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    for step in (1, 2, 3):
        log.write(step, {"loss": step})
    log.close()
    resumed = EventLog(path)
    for step in (2, 3, 4):
        resumed.write(step, {"loss": step})
    assert steps(path) == [1, 2, 3, 4]


def test_a_line_torn_by_a_kill_is_written_anew(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write(1, {"loss": 1.0})
    log.close()
    with path.open("ab") as file:
        file.write(b'[2, 17, {"lo')
    assert steps(path) == [1]
    EventLog(path).write(2, {"loss": 2.0})
    assert steps(path) == [1, 2]


def test_reading_goes_on_where_it_stopped(tmp_path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    log.write(1, {"loss": 1.0})
    ((_, offset),) = read_events(path)
    log.write(2, {"loss": 2.0})
    assert [event.step for event, _ in read_events(path, offset)] == [2]


def test_resume_takes_the_newest_execution_of_this_sweep(sweep) -> None:
    first, second = new_execution(sweep), new_execution(sweep)
    assert first.path != second.path
    assert latest_execution(sweep) == second


def test_resume_without_anything_to_resume_is_refused(sweep, tmp_path) -> None:
    with pytest.raises(ConfigError) as refusal:
        latest_execution(sweep)
    assert str(refusal.value) == (
        f"there is nothing to resume in {tmp_path / 'runs' / 's'}; run without --resume"
    )


def test_resume_of_a_changed_sweep_is_refused(sweep) -> None:
    started = new_execution(sweep)
    with pytest.raises(ConfigError) as refusal:
        latest_execution(sweep.model_copy(update={"seed": 1}))
    assert str(refusal.value) == (
        f"the sweep has changed since {started.id} was started: compare it with "
        f"{started.path / 'sweep.yaml'}, or run without --resume"
    )


def test_a_second_driver_is_kept_away(sweep) -> None:
    execution = new_execution(sweep)
    with (
        execution.locked(),
        pytest.raises(ConfigError, match="another `lnt run` is at work"),
        execution.locked(),
    ):
        pass


def test_a_result_is_read_back_as_written(tmp_path) -> None:
    execution = Execution(tmp_path)
    score = 0.1 + 0.2
    execution.write_result("t", Result("finished", 3, {"select/cider": score}))
    assert execution.result("t").score == score
    assert execution.results() == {"t": Result("finished", 3, {"select/cider": score})}


def test_only_a_finished_trial_has_a_score() -> None:
    assert Result("stopped", 3, {"select/cider": 5.0}).score is None


def test_json_is_written_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_only_the_best_weights_of_a_strategy_stay(sweep, tmp_path) -> None:
    execution = Execution(tmp_path)
    keeper = WinnerWeights(execution)
    low, high = trials(sweep)[1], trials(sweep)[0]
    lora = trial_config(sweep, LoraConfig(), 1e-3)
    for name, config, score in (("a", high, 1.0), ("b", low, 2.0), ("c", lora, 0.5)):
        (execution.trial(name) / "weights").mkdir(parents=True)
        keeper.keep_best(name, config, Result("finished", 1, {"select/cider": score}))
    kept = [name for name in "abc" if (execution.trial(name) / "weights").is_dir()]
    assert kept == ["b", "c"]
