"""Whole sweeps through the `lnt` command, on real Ray and MLflow."""

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
import yaml
from filelock import FileLock

from tests import warm
from tests.e2e.browser import start_chromium
from tests.micro import STAGE, outcome
from tests.servers import HANG_S, free_ports, wait_for

LNT = str(Path(sys.executable).parent / "lnt")
SWEEP = {
    "name": "small",
    "model": {"tiny": True},
    "data": {"scenes": {"num_train": 120, "num_val": 16, "num_test": 16}},
    "align": {"max_steps": 10, **STAGE},
    "search": {"strategy": ["layernorm", "full"], "learning_rate": [2e-3, 1e-3, 1e-4]},
    "train": {"max_steps": 100, "checkpoint_every_steps": 5, **STAGE},
}


@functools.cache
def empty_store() -> Path:
    """A tracking store without a sweep, made once: its tables take seconds of CPU time."""
    from sweeps.tracking.store import connect

    folder = tempfile.mkdtemp(prefix="lnt-store-")
    atexit.register(shutil.rmtree, folder)
    connect(f"sqlite:///{folder}/mlflow.db")
    return Path(folder, "mlflow.db")


class Sweep:
    """A folder with a sweep file in it, where `lnt` is run."""

    def __init__(self, folder: Path, cache: Path, **changes) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        if not (folder / "sweep.yaml").exists():  # else another test process has made it
            (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP | changes))
            if "tracking" not in changes:
                shutil.copy(empty_store(), folder)
        self.environment = {**os.environ, "LNT_CACHE": str(cache)}
        self.environment["RAY_ADDRESS"] = "127.0.0.1:1"  # nobody is there: it must not matter
        self.environment.pop("MLFLOW_TRACKING_URI", None)

    def lnt(self, *argv: str, expect: int = 0) -> str:
        """Run `lnt` to its end; returns what it printed."""
        done = self.run(*argv)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run `lnt` to its end, whatever that is."""
        given = {"cwd": self.folder, "env": self.environment}
        if self._imports_as_we_do():
            given["env"] = self.environment | warm.of_workers()
            return warm.run([LNT, *argv], **given)
        return subprocess.run([LNT, *argv], capture_output=True, text=True, **given)

    def start(
        self, *argv: str, by: Sequence[str] = (), cold: bool = False
    ) -> subprocess.Popen | warm.Process:
        """Start `lnt` in a session of its own.

        Args:
            argv: Of `lnt`.
            by: A command that executes it.
            cold: Whether all processes import everything themselves, as they do for users.
        """
        with (self.folder / "driver.log").open("ab") as log:
            streams = {"cwd": self.folder, "stdout": log, "stderr": log}
            if self._imports_as_we_do() and not by and not cold:
                environment = self.environment | warm.of_workers()
                return warm.Process([LNT, *argv], env=environment, **streams)
            session = {"start_new_session": True, "preexec_fn": _hear_hang_ups}
            return subprocess.Popen([*by, LNT, *argv], env=self.environment, **streams, **session)

    def _imports_as_we_do(self) -> bool:
        """Whether no module is changed for this sweep as it is imported (tests/patched.py)."""
        return self.environment.get("PYTHONPATH") == os.environ.get("PYTHONPATH")

    def best(self) -> dict:
        return json.loads(self.lnt("best", "small", "--json"))

    def outcome(self) -> dict:
        """Every trial with its status, its score and the losses of all its steps."""
        return outcome([path.parent for path in self.files("result.json")])

    def scores(self) -> list[tuple[str, float, str]]:
        """Winners with the score to the last digit."""
        found = self.best()["winners"]
        return [(w["strategy"], w["learning_rate"], repr(w["score"])) for w in found]

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.folder.glob(f"lnt_runs/small/*/trials/*/{pattern}"))

    def wait_until(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + HANG_S
        while not ready():
            assert time.monotonic() < until, (self.folder / "driver.log").read_text()
            time.sleep(0.05)

    def runs(self):
        """The client, and the runs of the sweep and its trials."""
        client, found = self.all_runs()
        return client, [run for run in found if run.data.tags["lnt.kind"] != "align"]

    def all_runs(self):
        """The client, and all runs: that of stage 1 too, if this sweep was the one to train it."""
        from sweeps.tracking.store import connect, experiment_id

        client = connect(f"sqlite:///{self.folder / 'mlflow.db'}")
        return client, client.search_runs([experiment_id(client, "small")], max_results=1000)

    def assert_tracked_once(self, *, num_trials: int, num_steps: int) -> None:
        """Every trial is one finished run, and every step of it one point."""
        client, runs = self.runs()
        assert {run.info.status for run in runs} == {"FINISHED"}
        trials = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
        assert len(runs) == num_trials + 1
        assert len({run.data.tags["lnt.trial_id"] for run in trials}) == num_trials
        for run in trials:
            points = client.get_metric_history(run.info.run_id, "train/loss")
            assert [point.step for point in points] == list(range(1, num_steps + 1))


def _hear_hang_ups() -> None:
    """Whoever started the tests may have done so with nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run_once(folder: Path, cache: Path, **changes) -> Sweep:
    """A sweep that all test processes share; whichever needs it first runs it to its end."""
    done = folder.with_suffix(".done")
    with FileLock(folder.with_suffix(".lock")):
        sweep = Sweep(folder, cache, **changes)
        if not done.exists():
            sweep.lnt("run", "sweep.yaml")
            done.touch()
    return sweep


@pytest.fixture(scope="session")
def finished(shared, cache) -> Sweep:
    """The sweep, run to its end undisturbed; to be read only."""
    return run_once(shared / "finished", cache)


@contextlib.contextmanager
def dashboard_of(sweep: Sweep, log: Path) -> Iterator[str]:
    """`lnt ui` on a sweep's store; its address."""
    (port,) = free_ports(1)
    command = [LNT, "ui", "--port", str(port)]
    with log.open("wb") as file:
        server = subprocess.Popen(command, cwd=sweep.folder, stdout=file, stderr=file)
    url = f"http://127.0.0.1:{port}"
    wait_for(f"{url}/health", log)
    yield url
    server.terminate()
    server.wait(timeout=HANG_S)


@pytest.fixture(scope="session")
def dashboard(finished, tmp_path_factory):
    """`lnt ui` on the finished sweep's store."""
    with dashboard_of(finished, tmp_path_factory.mktemp("dashboard") / "ui.log") as url:
        yield url


@pytest.fixture(scope="session")
def browser():
    """One Chromium for all pages."""
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture
def sweep(tmp_path, cache) -> Sweep:
    return Sweep(tmp_path / "sweep", cache)


@pytest.fixture
def micro_with(tmp_path, cache, micro):
    """A sweep of the micro model, with changes."""
    return lambda **changes: Sweep(tmp_path / "sweep", cache, **(micro | changes))


@pytest.fixture(scope="session")
def undisturbed(shared, cache, micro) -> Sweep:
    """The sweep of the micro model, run to its end by one trial at a time; to be read only."""
    return run_once(shared / "undisturbed", cache, **micro)


@pytest.fixture
def sweep_with(tmp_path, cache):
    return lambda **changes: Sweep(tmp_path / "sweep", cache, **changes)


def kill(process: subprocess.Popen | warm.Process) -> None:
    """kill -9, of the driver alone: its Ray must notice by itself."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def processes_called(driver: subprocess.Popen | warm.Process, title: str) -> list[psutil.Process]:
    """Those below the driver that run this class of Ray's."""
    found = []
    for process in warm.with_forks(psutil.Process(driver.pid)):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
            if "".join(process.cmdline()[:1]).startswith(f"ray::{title}"):
                found.append(process)
    return found


def workers_of(driver: subprocess.Popen | warm.Process) -> list[psutil.Process]:
    """Processes of Ray Train under the driver."""
    return processes_called(driver, "RayTrainWorker")
