"""Whole sweeps of the checks, and the processes that hold memory of a GPU meanwhile."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.gpu.shapes import Shape
from tests.gpu.trials import ended
from tests.micro import SWEEP, outcome

ROOT = Path(__file__).parents[2]
LNT = [sys.executable, "-c", "import sys; from sweeps.cli.main import main; sys.exit(main())"]
SWEEP_S = 600
"""Seconds after which a sweep is taken for hung."""
GRID = {"strategy": ["layernorm", "lora"], "learning_rate": [2e-3, 1e-3]}
QUERY = ["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"]
POISON = """
def patch(module):
    run = module.run_trial
    def run_trial(config, **given):
        if (config.strategy.name, config.learning_rate) == ("lora", 2e-3):
            from tests.gpu.trouble import lose_device
            lose_device(given["worker"].device)
        return run(config, **given)
    module.run_trial = run_trial
"""
"""Loses the GPU before one trial of ``GRID``."""


def content(shape: Shape, model: dict[str, str], gpus: float) -> dict[str, Any]:
    """A sweep file: of the demo on a GPU, of the micro model on a CPU."""
    resources = {"cpus_per_trial": 1, "gpus_per_trial": gpus}
    if shape.on_gpu:
        train = {"deterministic": True, "max_steps": 60}
        return {
            "extends": "demo",
            "name": "small",
            "search": GRID,
            "resources": resources,
            "train": train,
        }
    train = SWEEP["train"] | {"max_steps": 8}
    search = GRID | {"learning_rate": [2e-3]}
    return SWEEP | {"model": model, "search": search, "resources": resources, "train": train}


def run_sweep(
    folder: Path, cache: Path, sweep: dict[str, Any], *, expect: int = 0
) -> dict[Any, Any]:
    """Run a sweep in this folder to its end; each trial's status, score and losses.

    A ``sitecustomize.py`` in the folder is loaded by each of its processes.

    Raises:
        RuntimeError: Its exit code is not ``expect``.
    """
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    environment = {
        k: v for k, v in os.environ.items() if k not in ("DS_ACCELERATOR", "RAY_ADDRESS")
    }
    own = {"LNT_CACHE": str(cache), "PYTHONPATH": f"{folder}:{ROOT}"}
    done = subprocess.run(
        [*LNT, "run", "sweep.yaml"],
        cwd=folder,
        env=environment | own,
        capture_output=True,
        text=True,
        timeout=SWEEP_S,
    )
    if done.returncode != expect:
        raise RuntimeError(ended(done))
    return outcome([path.parent for path in folder.glob("lnt_runs/small/*/trials/*/result.json")])


def processes() -> int | None:
    """Processes that have a context on a GPU; None if nvidia-smi does not say."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return len(done.stdout.split()) if done.returncode == 0 else None


@dataclass
class Processes:
    """Those on GPUs that nvidia-smi lists, beyond those of the start."""

    most: int = 0
    """At once."""
    left: int = 0
    """At the end."""


@contextlib.contextmanager
def watched_processes() -> Iterator[Processes]:
    """Count the processes on GPUs once a second, until the end of this context."""
    before, seen, over = processes() or 0, Processes(), threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            seen.most = max(seen.most, (processes() or 0) - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
        seen.left = (processes() or 0) - before


def group_sees(device: str, folder: Path) -> dict[str, Any]:
    """What a process of Ray Train's group sees (``tests.gpu.group``)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu.group", device, str(folder)],
        capture_output=True,
        text=True,
        timeout=SWEEP_S,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        raise RuntimeError(ended(done))
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen
