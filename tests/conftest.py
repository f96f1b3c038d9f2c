"""Shared fixtures: a random two-layer vision-language model and a few drawn images, in seconds.

What takes long to import is imported by the fixtures: xdist's first process, for which the others
wait, runs no test.
"""

import atexit
import collections
import gc
import logging
import os
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.micro import SWEEP

if TYPE_CHECKING:
    from lnt_core.config import DataConfig, TrialConfig
    from lnt_core.models.vlm import VisionLanguageModel

TIERS = ("heavy", "sweep", "fault", "cluster", "browser")
"""Markers of tests that `make test` leaves out, and `make test-tiers` runs; see pyproject.toml."""
LONGEST = (
    *("cluster", "test_zero_engine.py", "test_damage.py", "test_signals.py", "test_bench.py"),
    *("test_take_home.py", "test_tiny.py", "test_zero.py", "test_outcome.py", "test_loop.py"),
    *("test_predicted.py", "test_analysis.py", "test_trial_analysis.py"),
)
"""Test files, and a folder of them, that take longest. They start first, so that all test processes
end together."""
LIGHT_S = 8.0
"""CPU time of the longest unmarked test; most take milliseconds."""
QUICK_PROGRAMS = ("git", "java")
"""What provenance and a score need, in a third of a second."""
STARTED: list[str] = []
"""Programs that this process has started."""
# Ray would run trials at niceness 15, so that they starve beside the other test process.
os.environ.setdefault("RAY_worker_niceness", "0")
hypothesis.settings.register_profile("lnt", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("lnt")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items) -> None:
    """Take the shard that ``LNT_SHARD`` names, let the tiers take longer than other tests, and
    start with what takes longest."""
    shard = os.environ.get("LNT_SHARD")
    if shard is not None:
        number, count = map(int, shard.split("/"))
        left_out = [item for item in items if shard_of(item.path, count) != number]
        items[:] = [item for item in items if shard_of(item.path, count) == number]
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        if any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker(pytest.mark.timeout(1800))
    num_tests = collections.Counter(item.path for item in items)
    items.sort(key=lambda item: (_place(item.path), -num_tests[item.path]))


def _place(path: Path) -> int:
    """Among `LONGEST`, or after them."""
    known = [LONGEST.index(name) for name in (path.name, path.parent.name) if name in LONGEST]
    return min(known, default=len(LONGEST))


def pytest_collection_finish() -> None:
    """What is imported stays: no garbage collection, of which tests ask for many, looks at it."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)  # models make many objects, of which few are garbage
    atexit.register(gc.freeze)  # and those of the interpreter's end look at nothing


class ByFile(LoadScopeScheduling):
    """Gives each file to one test process, and all tests of clusters to the same one.

    Clusters know their nodes by addresses on this machine, of which there is one each.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "tests/cluster" if path.startswith("tests/cluster/") else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log) -> ByFile:
    config.option.loadscopereorder = False  # else the file with the most tests would be first
    return ByFile(config, log)


def pytest_runtest_logreport(report) -> None:
    """Say at once why a test failed: a log that is cut short has it then."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid}\n{report.longreprtext[-4000:]}", flush=True)


def _note_programs(event: str, args: tuple) -> None:
    """Python's own report of what it does; see `sys.addaudithook`."""
    if event == "subprocess.Popen" and Path(os.fsdecode(args[0])).name not in QUICK_PROGRAMS:
        STARTED.append(str(args[1])[:200])
    elif event in ("os.fork", "os.forkpty", "os.posix_spawn", "os.system"):
        STARTED.append(event)


sys.addaudithook(_note_programs)


def shard_of(path: Path, count: int) -> int:
    """The shard, from 1 to ``count``, of a test file: the same on every machine."""
    return zlib.crc32(path.name.encode()) % count + 1


@pytest.fixture(autouse=True, scope="session")
def _quiet():
    import torch
    import transformers

    torch.set_num_threads(1)  # two test processes share two cores
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("torch.") and isinstance(logger, logging.Logger):
            logger.propagate = True  # else pytest attaches itself to each of them for every test
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def _is_light(request):
    """A test without a marker starts no process, and takes no more than ``LIGHT_S`` of CPU time.

    What fixtures of wider scope do is not its own.
    """
    began_s, before = time.process_time(), len(STARTED)
    yield
    if any(request.node.get_closest_marker(name) for name in TIERS):
        return
    took_s, started = time.process_time() - began_s, STARTED[before:]
    advice = "mark it heavy (pyproject.toml), or make it lighter"
    if started:
        pytest.fail(f"an unmarked test started {started[0]}: {advice}", pytrace=False)
    if took_s > LIGHT_S:
        pytest.fail(f"an unmarked test took {took_s:.1f} s of CPU time: {advice}", pytrace=False)


@pytest.fixture(autouse=True)
def _seeded():
    """What a test draws does not depend on which ran before it."""
    import torch

    if torch.cuda.is_initialized():
        torch.manual_seed(0)
    else:  # the same, but does not note down for a GPU's start who asked for it
        torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def parts(shared) -> tuple[str, str]:
    """The same for all test processes: so stage 1 of the micro model is trained once."""
    from filelock import FileLock

    from tests.parts import save_parts, text_config

    folder = shared / "parts"
    with FileLock(f"{folder}.lock"):
        if folder.exists():
            return str(folder / "language"), str(folder / "vision")
        return save_parts(folder, text_config(tie_word_embeddings=False))


@pytest.fixture(scope="session")
def micro(parts) -> dict:
    """The content of a sweep file with the micro model."""
    model = {"language_model": parts[0], "vision_tower": parts[1], "conversation": "plain"}
    return SWEEP | {"model": model}


@pytest.fixture(scope="session")
def tied_parts(tmp_path_factory) -> tuple[str, str]:
    from tests.parts import save_parts, text_config

    return save_parts(tmp_path_factory.mktemp("tied"), text_config(tie_word_embeddings=True))


@pytest.fixture(scope="session")
def base(parts, tmp_path_factory) -> "VisionLanguageModel":
    return _load(parts, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tied_base(tied_parts, tmp_path_factory) -> "VisionLanguageModel":
    return _load(tied_parts, tmp_path_factory.mktemp("cache"))


def _load(parts: tuple[str, str], cache: Path) -> "VisionLanguageModel":
    import torch

    from lnt_core.models.build import load_base
    from tests.parts import model_config

    torch.manual_seed(0)
    return load_base(model_config(parts), cache=cache)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> "DataConfig":
    """Eight drawn images to train on, four each for val and test, in the published layout."""
    from lnt_core.config import ScenesConfig
    from lnt_core.data.scene_questions import scenes_data

    counts = ScenesConfig(num_train=8, num_val=4, num_test=4)
    return scenes_data(counts, tmp_path_factory.mktemp("scenes"))


@pytest.fixture
def trial_config(parts, scenes):
    from lnt_core.config import TrialConfig
    from tests.parts import TRAIN, model_config

    def make(**changes) -> "TrialConfig":
        content = {
            "model": model_config(parts),
            "data": scenes,
            "strategy": {"name": "layernorm"},
            "learning_rate": 1e-3,
            "train": TRAIN,
        }
        return TrialConfig.model_validate(content | changes)

    return make


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all test processes of this session have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def cache(shared) -> Path:
    """Where the tiny model is trained once for all tests of whole sweeps."""
    given = os.environ.get("LNT_TEST_CACHE")
    return Path(given) if given else shared / "cache"
