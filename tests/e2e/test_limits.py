"""No memory, no disk, no patience: what a sweep does when it is cut short."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from lnt_core.evaluation.batch_size import lower_to
from sweeps.storage.execution import CAPTIONING
from tests.e2e.conftest import Sweep
from tests.micro import STAGE, outcome
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_STEPS = 60
TRIALS = "lnt_runs/small/*/trials"
HOG = """
import sys, time
from pathlib import Path
held, note = [], Path(sys.argv[2])
for _ in range(int(sys.argv[1]) >> 26):
    held.append(bytearray(b"x") * (1 << 26))
    if list(note.glob("*/killed_for_memory")):
        break
until = time.monotonic() + 60
while not list(note.glob("*/killed_for_memory")) and time.monotonic() < until:
    time.sleep(0.02)
"""


def is_training(sweep: Sweep) -> bool:
    ended = {path.parent for path in sweep.files("result.json")}
    return any(path.parent not in ended for path in sweep.files("checkpoint.pt"))


@pytest.mark.alone
def test_a_trial_that_the_memory_monitor_kills_goes_on_with_half_the_micro_batch(
    micro_with,
) -> None:
    num_steps = 3000  # long enough for the memory to be filled meanwhile
    search = {"strategy": ["layernorm"], "learning_rate": [1e-4]}
    train = STAGE | {"max_steps": num_steps, "checkpoint_every_steps": 50}
    sweep = micro_with(search=search, train=train)
    memory = psutil.virtual_memory()
    room_bytes = memory.available // 3  # the sweep itself needs 2 GiB, others come and go
    threshold = 1 - (memory.available - room_bytes) / memory.total
    sweep.environment |= {
        "RAY_memory_usage_threshold": f"{threshold:.3f}",
        "RAY_memory_monitor_refresh_ms": "100",
    }
    driver = sweep.start("run", "sweep.yaml", cold=True)
    sweep.wait_until(lambda: is_training(sweep))
    trials = sweep.files("checkpoint.pt")[0].parents[1]
    subprocess.run([sys.executable, "-c", HOG, str(2 * room_bytes), str(trials)], check=True)
    assert driver.wait(timeout=HANG_S) == 0, (sweep.folder / "driver.log").read_text()
    sweep.assert_tracked_once(num_trials=1, num_steps=num_steps)
    (ran,) = sweep.files("ran.yaml")
    halved = STAGE["micro_batch_size"] // 2
    assert yaml.safe_load(ran.read_text())["train"]["micro_batch_size"] == halved
    _, runs = sweep.runs()
    (retried,) = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    assert retried.data.tags["lnt.note"] == (
        f"out of memory at micro_batch_size {2 * halved}; run again with {halved}"
    )


@contextlib.contextmanager
def small_disk(folder: Path, *, mib: int) -> Iterator[Path]:
    """A file system of a few MiB; mounting wants root."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder)], capture_output=True
    )
    if made.returncode:
        pytest.skip("a small file system wants the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes what is left of a file system."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    return ballast


def test_a_full_disk_ends_the_sweep_and_resume_finishes_it(
    undisturbed, micro_with, tmp_path
) -> None:
    with small_disk(tmp_path / "disk", mib=24) as disk:
        sweep = micro_with(
            tracking={"uri": "sqlite:///mlflow.db", "storage": str(disk / "lnt_runs")},
        )
        driver = sweep.start("run", "sweep.yaml")
        log = sweep.folder / "driver.log"
        sweep.wait_until(lambda: bool(list(disk.glob(f"{TRIALS}/*/checkpoint.pt"))))
        ballast = fill(disk)
        assert driver.wait(timeout=HANG_S) == 1, log.read_text()
        assert "Free some space, then continue with --resume" in log.read_text()
        assert "Traceback" not in log.read_text()
        assert "RUNNING" not in {run.info.status for run in sweep.runs()[1]}
        ballast.unlink()
        had_ended = set(disk.glob(f"{TRIALS}/*/result.json"))
        (execution,) = disk.glob(TRIALS.removesuffix("/trials"))
        lower_to(execution / CAPTIONING, "select", 3)  # as a trial does whose memory ran out
        sweep.lnt("run", "sweep.yaml", "--resume")
        sweep.assert_tracked_once(num_trials=4, num_steps=NUM_STEPS)
        outcome_on_disk = outcome([p.parent for p in disk.glob(f"{TRIALS}/*/result.json")])
        assert outcome_on_disk == undisturbed.outcome()
        for path in set(disk.glob(f"{TRIALS}/*/result.json")) - had_ended:
            assert json.loads(path.read_text())["metrics"]["select/batch_size"] == 3


def test_a_full_disk_ends_stage_1_alone(micro_with, tmp_path) -> None:
    with small_disk(tmp_path / "disk", mib=1) as disk:
        sweep = micro_with(
            tracking={"uri": "sqlite:///mlflow.db", "storage": str(disk / "lnt_runs")},
        )
        sweep.environment["LNT_CACHE"] = str(tmp_path / "cache")
        ballast = fill(disk)
        command = sweep.start("align", "sweep.yaml")
        log = sweep.folder / "driver.log"
        assert command.wait(timeout=HANG_S) == 1, log.read_text()
        told = "the disk is full. Free some space. Run again with: lnt align sweep.yaml"
        assert told in log.read_text()
        assert "Traceback" not in log.read_text()
        ballast.unlink()
        sweep.lnt("align", "sweep.yaml")


def steps_of(sweep: Sweep) -> int:
    return sum(len(path.read_text().splitlines()) for path in sweep.files("events.jsonl"))


def test_ctrl_c_keeps_what_is_trained_and_twice_leaves_at_once(micro_with, tmp_path) -> None:
    """Without checkpoints of their own accord, so that what is kept was kept for the signal."""
    num_steps = 500
    train = {"max_steps": num_steps, "checkpoint_every_steps": 10_000, **STAGE}
    sweep = micro_with(
        search={"strategy": ["layernorm"], "learning_rate": [2e-3, 1e-4]}, train=train
    )
    shutil.copytree(sweep.folder, tmp_path / "undisturbed")
    driver = sweep.start("run", "sweep.yaml", "--set", "resources.max_concurrent_trials=2")
    sweep.wait_until(lambda: len(sweep.files("events.jsonl")) == 2)
    sweep.wait_until(lambda: all(b"]" in p.read_bytes() for p in sweep.files("events.jsonl")))
    os.kill(driver.pid, signal.SIGINT)
    assert driver.wait(timeout=HANG_S) == 130
    _, runs = sweep.runs()
    assert {run.info.status for run in runs} == {"KILLED"}
    assert len(sweep.files("checkpoint.pt")) == 2
    assert not sweep.files("result.json")
    kept = steps_of(sweep)
    assert kept > 2
    driver = sweep.start("run", "sweep.yaml", "--resume")
    sweep.wait_until(lambda: steps_of(sweep) > kept + 10)
    os.kill(driver.pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(driver.pid, signal.SIGINT)
    assert driver.wait(timeout=60) == 130, (sweep.folder / "driver.log").read_text()
    sweep.lnt("run", "sweep.yaml", "--resume")
    sweep.assert_tracked_once(num_trials=2, num_steps=num_steps)
    undisturbed = Sweep(tmp_path / "undisturbed", Path(sweep.environment["LNT_CACHE"]))
    undisturbed.lnt("run", "sweep.yaml")
    assert sweep.outcome() == undisturbed.outcome()
