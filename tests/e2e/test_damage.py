"""Files that come damaged out of a crash: set aside, told, and made again; or refused."""

import itertools
import random
import shutil
from pathlib import Path

import psutil
import pytest

from lnt_core.errors import DamagedError
from lnt_core.files import check_torch
from tests import warm
from tests.damage import WAYS, empty
from tests.e2e.conftest import Sweep, kill, processes_called
from tests.e2e.test_rescue import steps
from tests.servers import HANG_S

pytestmark = pytest.mark.fault
NUM_TRIALS, NUM_STEPS = 4, 60

ENDED, RUNNING, PLANNED = "trials/ended", "trials/running", "trials/planned"
"""Folders of trials of the killed sweep, with words in place of their ids."""
ONE = {
    "execution.json": "execution.json",
    "base/captions_select.jsonl": "base.json",
    f"{ENDED}/result.json": "result.json",
    f"{ENDED}/tracked.json": "tracked.json",
    f"{ENDED}/trial.yaml": "trial.yaml",
    f"{RUNNING}/checkpoint.pt": "checkpoint.pt",
    f"{RUNNING}/origin.json": "origin.json",
    f"{PLANNED}/origin.json": "origin.json",
    f"{PLANNED}/origin.copy.json": "origin.copy.json",
    "cache/scenes-*/dataset_scenes.json": "scenes-",
}
OTHER = {
    "sweep.yaml": "sweep.yaml",
    "base.json": "base.json",
    f"{ENDED}/captions_select.jsonl": "captions_select.jsonl",
    f"{ENDED}/weights/base_connector.safetensors": "",  # the trial is run again anyway
    f"{RUNNING}/events.jsonl": "",  # cut where it is whole; the rest is that of a killed process
    f"{RUNNING}/gradients.json": "gradients.json",
    f"{RUNNING}/tracked.json": "tracked.json",
    f"{PLANNED}/trial.yaml": "trial.yaml",
    "cache/align-*.pt": "align-",
}
"""What a sweep can lose at once and still end as if nothing had been; what the user reads of it."""


@pytest.fixture(scope="module")
def killed(tmp_path_factory, micro) -> Sweep:
    """A sweep after kill -9: one trial has ended, one was running, two were planned."""
    folder = tmp_path_factory.mktemp("killed")
    sweep = Sweep(folder / "sweep", folder / "cache", **micro)
    driver = sweep.start("run", "sweep.yaml")

    def ended() -> set[Path]:
        return {path.parent for path in sweep.files("result.json")}

    def begun() -> set[Path]:
        return ended() | {path.parent for path in sweep.files("checkpoint.previous.pt")}

    def is_midway() -> bool:
        running = begun() - ended()
        return len(ended()) == 1 and any(10 < len(steps(path)) < 55 for path in running)

    sweep.wait_until(is_midway)
    (worker,) = processes_called(driver, "ImplicitFunc")
    worker.suspend()  # else the next trial may have ended when these are tracked
    sweep.wait_until(lambda: begun() <= {path.parent for path in sweep.files("tracked.json")})
    ray = warm.with_forks(psutil.Process(driver.pid))
    kill(driver)
    worker.kill()
    psutil.wait_procs(ray, timeout=HANG_S)  # until then they may write
    return sweep


@pytest.fixture
def copied(killed, tmp_path) -> Sweep:
    """The killed sweep, with a cache of its own, to be damaged."""
    shutil.copytree(killed.folder.parent, tmp_path / "copy")
    copied = Sweep.__new__(Sweep)
    copied.folder = tmp_path / "copy" / "sweep"
    copied.environment = killed.environment | {"LNT_CACHE": str(tmp_path / "copy" / "cache")}
    return copied


def find(sweep: Sweep, name: str) -> list[Path]:
    """A damaged file's path; of each of the two planned trials."""
    (execution,) = sweep.folder.glob("lnt_runs/small/*")
    if name.startswith("cache/"):
        return list(sweep.folder.parent.glob(name))
    if not name.startswith("trials/"):
        return [execution / name]
    _, which, file = name.split("/", 2)
    trials = list(execution.glob("trials/*"))
    ended = {path for path in trials if (path / "result.json").exists()}
    running = {path for path in trials if (path / "checkpoint.pt").exists()} - ended
    folders = {"ended": ended, "running": running, "planned": {*trials} - ended - running}[which]
    return [path / file for path in sorted(folders)]


def is_whole(path: Path) -> bool:
    """Whether a file of PyTorch still says what was written."""
    try:
        check_torch(path)
    except DamagedError:
        return False
    return True


@pytest.mark.parametrize(
    ("ways", "names"), [(("truncate", "flip"), ONE), (("empty", "flip"), OTHER)]
)
def test_what_is_damaged_is_set_aside_told_and_made_again(ways, names, undisturbed, copied) -> None:
    """In ways by turns; each file in each way, without a sweep: tests/sweeps/storage."""
    found = {path: told for name, told in names.items() for path in find(copied, name)}
    assert len(found) >= len(names)
    for path, way in zip(found, itertools.cycle(ways), strict=False):
        WAYS[way](path, random.Random(f"{way} {path.name}"))
        if path.suffix == ".pt" and is_whole(path):
            found[path] = ""  # a byte of PyTorch's padding
    printed = copied.lnt("run", "sweep.yaml", "--resume")
    for told in filter(None, found.values()):
        assert any(told in line and " is damaged (" in line for line in printed.splitlines()), told
    copied.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert copied.outcome() == undisturbed.outcome()


def lose(sweep: Sweep, what: str) -> None:
    store = sweep.folder / "mlflow.db"
    if what == "parent run":
        client, runs = sweep.runs()
        (parent,) = [run for run in runs if run.data.tags["lnt.kind"] == "sweep"]
        client.delete_run(parent.info.run_id)
    elif what == "experiment":
        empty(store, random.Random(0))
    else:
        store.unlink()


def refused(sweep: Sweep, *argv: str) -> str:
    """Run a command that is refused; returns why."""
    done = sweep.run(*argv)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize("what", ["tracking store", "experiment", "parent run"])
def test_a_store_that_is_gone_is_told_before_anything_starts(what, copied) -> None:
    lose(copied, what)
    before = sorted(copied.folder.glob("lnt_runs/small/**/*"))
    told = refused(copied, "run", "sweep.yaml", "--resume")
    assert f"cannot go on: its {what}" in told
    assert len(told.splitlines()) == 1
    assert sorted(copied.folder.glob("lnt_runs/small/**/*")) == before


def test_what_was_trained_is_logged_anew_where_that_is_asked_for(undisturbed, copied) -> None:
    lose(copied, "tracking store")
    for path in copied.files("tracked.json"):
        path.unlink()
    copied.lnt("run", "sweep.yaml", "--resume")
    copied.assert_tracked_once(num_trials=NUM_TRIALS, num_steps=NUM_STEPS)
    assert copied.outcome() == undisturbed.outcome()


def test_a_store_that_vanishes_midway_ends_the_sweep_in_a_sentence(copied) -> None:
    driver = copied.start("run", "sweep.yaml", "--resume")
    copied.wait_until(lambda: len(copied.files("result.json")) == 2)
    lose(copied, "tracking store")
    code = driver.wait(timeout=HANG_S)
    told = (copied.folder / "driver.log").read_text()
    assert code == 2, told
    assert "no longer has the runs of this sweep" in told
    assert "Traceback" not in told
    assert len(copied.files("result.json")) == NUM_TRIALS
