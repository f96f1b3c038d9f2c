"""Samples of a node go where a trial's metrics go, and go on after a resume."""

import time
from pathlib import Path

from sweeps.storage.events import EventLog, read_events
from sweeps.worker.system_metrics import KEY, SystemMetrics


def samples(path: Path) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, event.metrics) for event, _ in read_events(path)]


def run(path: Path, *, every_s: float, takes_s: float) -> None:
    events = EventLog(path)
    with SystemMetrics(events, every_s):
        time.sleep(takes_s)
    events.close()


def test_a_short_trial_has_a_sample_too(tmp_path) -> None:
    run(tmp_path / "e.jsonl", every_s=60, takes_s=0.2)
    ((step, metrics),) = samples(tmp_path / "e.jsonl")
    assert step == 0
    assert 0 <= metrics[KEY] <= 100
    assert metrics["system/system_memory_usage_megabytes"] > 100


def test_a_resumed_trial_goes_on_counting(tmp_path) -> None:
    run(tmp_path / "e.jsonl", every_s=0.05, takes_s=0.3)
    before = samples(tmp_path / "e.jsonl")
    assert len(before) > 2
    run(tmp_path / "e.jsonl", every_s=60, takes_s=0.0)
    after = samples(tmp_path / "e.jsonl")
    assert [step for step, _ in after] == list(range(len(before) + 1))


def test_none_are_taken_if_none_are_wanted(tmp_path) -> None:
    run(tmp_path / "e.jsonl", every_s=0, takes_s=0.0)
    assert samples(tmp_path / "e.jsonl") == []
