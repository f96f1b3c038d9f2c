"""Samples of a node go where a trial's metrics go, and go on after a resume."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps.storage.events import EventLog, read_events
from sweeps.worker.system_metrics import KEY, PREFIX, SystemMetrics
from tests.nvml import fake_driver


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


BOTH = f"""
import json
from pathlib import Path
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from sweeps.storage.events import EventLog, read_events
from sweeps.worker.system_metrics import SystemMetrics
theirs = {{}}
for monitor in (CPUMonitor(), GPUMonitor()):
    monitor.collect_metrics()
    theirs |= {{"{PREFIX}" + name: value for name, value in monitor.aggregate_metrics().items()}}
with SystemMetrics(EventLog(Path("e.jsonl")), 60):
    pass
((event, _),) = read_events(Path("e.jsonl"))
print(json.dumps([theirs, event.metrics]))
"""


@pytest.mark.heavy
def test_names_and_units_are_those_that_mlflow_draws(tmp_path) -> None:
    environment = os.environ | fake_driver(tmp_path / "nvml")
    argv = [sys.executable, "-c", BOTH]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    theirs, ours = json.loads(done.stdout)
    assert theirs.keys() == ours.keys()
    of_gpu = {name: value for name, value in ours.items() if "gpu" in name}
    assert len(of_gpu) == 5
    assert of_gpu == {name: theirs[name] for name in of_gpu}
