"""SIGINT, SIGTERM and SIGHUP at random moments of a sweep: it closes, says how, and resumes."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import Sweep
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_TRIALS, NUM_STEPS = 4, 60
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROUNDS = int(os.environ.get("LNT_SIGNAL_ROUNDS", "1"))
"""After three, each signal was sent at each of `MOMENTS`."""
IGNORING = ("bash", "-c", 'trap "" INT && exec "$@"', "bash")
"""How a script starts a command with `&`: with SIGINT ignored."""
MOMENTS: dict[str, tuple[Callable[[Sweep], bool], float]] = {
    "start": (lambda sweep: True, 8.0),
    "stage 1": (lambda sweep: bool(list(sweep.folder.glob("lnt_runs/*/*/ray-*"))), 6.0),
    "scoring": (lambda sweep: bool(list(sweep.folder.glob("lnt_runs/*/*/base"))), 1.0),
    "training": (lambda sweep: bool(sweep.files("events.jsonl")), 4.0),
    "end": (lambda sweep: len(sweep.files("result.json")) == NUM_TRIALS, 0.8),
}
"""What has begun at a moment, and within how many seconds after that the signal comes. The end
takes 1.5 s with nothing beside it; there is nothing to interrupt after that."""


def session_of(pid: int) -> list[str]:
    """Processes of the session that this process leads or led."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text().rpartition(")")
        except OSError:
            continue  # ended meanwhile
        state, _, _, session = fields.split()[:4]
        if int(session) == pid and state != "Z":
            found.append(name)
    return found


def assert_closed(sweep: Sweep, driver: subprocess.Popen, number: signal.Signals) -> str:
    """One sentence, no run RUNNING, and no process left after 5 s; returns the sentence."""
    printed = (sweep.folder / "driver.log").read_text()
    assert driver.wait(timeout=HANG_S) == 128 + number, printed
    until = time.monotonic() + 5
    while left := session_of(driver.pid):
        assert time.monotonic() < until, left
        time.sleep(0.2)
    printed = (sweep.folder / "driver.log").read_text()
    (said,) = [line for line in printed.splitlines() if line.startswith("lnt: ")]
    for noise in ("Traceback", "SIGABRT", "Exception ignored", "*** ", "Error"):
        assert noise not in printed, printed
    if (sweep.folder / "mlflow.db").exists():
        _, runs = sweep.runs()
        assert "RUNNING" not in {run.info.status for run in runs}
    return said


@pytest.mark.parametrize("repetition", range(ROUNDS))
def test_at_any_moment_closes_and_can_be_resumed(
    repetition, undisturbed, tmp_path, micro, record_property
) -> None:
    chance = random.Random(repetition)
    sweep = Sweep(tmp_path / "sweep", tmp_path / "cache", **micro)
    for place, (moment, (has_begun, spread_s)) in enumerate(MOMENTS.items()):
        number = SIGNALS[(place + repetition) % len(SIGNALS)]
        (sweep.folder / "driver.log").unlink(missing_ok=True)
        again = ["--resume"] if has_execution(sweep) else []
        by = IGNORING if number == signal.SIGINT else ()
        driver = sweep.start("run", "sweep.yaml", *again, by=by, cold=True)
        sweep.wait_until(lambda has_begun=has_begun: has_begun(sweep))
        delay_s = chance.uniform(0.3, spread_s)
        time.sleep(delay_s)
        record_property(f"{number.name} {moment}", delay_s)
        driver.send_signal(number)
        said = assert_closed(sweep, driver, number)
        advice = "with: lnt run sweep.yaml" + (" --resume" if has_execution(sweep) else "")
        assert said.startswith(f"lnt: interrupted by {number.name}. "), moment
        assert said.endswith(advice), moment
    sweep.lnt("run", "sweep.yaml", "--resume")
    sweep.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert sweep.outcome() == undisturbed.outcome()


def has_execution(sweep: Sweep) -> bool:
    return bool(list(sweep.folder.glob("lnt_runs/*/*/execution.json")))
