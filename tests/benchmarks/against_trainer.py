"""`lnt run` against plain Ray Tune + HF Trainer + MLflow: the same trials, in one run.

Run by `make bench`. Both sides tune the same LLaVA checkpoint by `layernorm` at the same rates, two
trials at a time with a core each, and choose by the same captions; each reads its images for the
first time. The paper's analyses, which the rival lacks, are off. Prints a Markdown table.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from lnt_core.errors import ConfigError
from tests.benchmarks.fixed_cost import HERE, MARK, RUN, CpuClock
from tests.benchmarks.workloads import Workload, checkpoint, llava, photos, scenes

STAGE = {"batch_size": 16, "micro_batch_size": 16, "gradient_checkpointing": False}
ALIGN = STAGE | {"max_steps": 250, "learning_rate": 5e-3}
SIDES = ("lnt", "plain")
ROWS = {
    "tokens_per_s": "tokens/s of a trial",
    "trial_s": "seconds a trial",
    "wall_s": "wall clock, s",
    "cpu_s": "CPU time, s",
    "padded_share": "padded share",
    "waited_share": "training thread waited, share",
    "peak_gib": "peak memory of all processes, GiB",
    "winner": "winner: rate, CIDEr",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lnt")
    parser.add_argument("--only", nargs="+", choices=("scenes", "photographs", "llava"))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of steps, images and rates of the scenes"
    )
    parser.add_argument(
        "--with", dest="changes", type=json.loads, default={}, help="`model` and `align`, as JSON"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = args.changes.get("model", {"tiny": True})
        align = args.changes.get("align", ALIGN)
        model = checkpoint(model, align, args.cache, folder / "model")
        makers: dict[str, Callable[[Path], Workload]] = {
            "scenes": lambda own: scenes(model, args.cache, own, args.scale),
            "photographs": lambda own: photos(model, own, args.scale),
            "llava": lambda own: llava(model, args.cache, own, args.scale),
        }
        for case in args.only or makers:
            (folder / case).mkdir()
            try:
                load = makers[case](folder / case)
            except ConfigError as missing:
                print(f"{case}: skipped: {missing}\n")
                continue
            print(table(load, {side: measured(side, load, folder / case) for side in SIDES}))


def measured(side: str, load: Workload, place: Path) -> dict[str, Any]:
    """One side's search, with caches of its own: its figures."""
    folder = place / side
    folder.mkdir()
    if side == "lnt":
        (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep_of(load)))
        command = [sys.executable, "-c", RUN, "run", "sweep.yaml"]
    else:
        (folder / "load.json").write_text(json.dumps(load.as_json()))
        command = [sys.executable, "-m", "tests.benchmarks.plain_trainer", "load.json"]
    mark = f"{place.parent.name}-{load.name}-{side}"
    environment = os.environ | {
        "LNT_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(HERE),
        MARK: mark,
    }
    began_s = time.perf_counter()
    clock = UsageClock(mark)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    wall_s, cpu_s = time.perf_counter() - began_s, clock.stop()
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    found = trials_of(folder) if side == "lnt" else json.loads(done.stdout.splitlines()[-1])
    return figures(found) | {"wall_s": wall_s, "cpu_s": cpu_s, "peak_gib": clock.peak_gib}


def sweep_of(load: Workload) -> dict[str, Any]:
    """The sweep file's content."""
    select = {
        "task": "scenes",
        "annotations": load.select,
        "images": load.select_images,
        "num_images": load.num_select,
        "max_new_tokens": load.max_new_tokens,
        "report_split": None,
    }
    train = STAGE | {"max_steps": load.max_steps, "analyse": False}
    train |= {"batch_size": load.batch_size, "micro_batch_size": load.micro_batch_size}
    return {
        "name": "bench",
        "model": {"checkpoint": load.model},
        "data": {
            "tune": {"annotations": load.tune, "images": load.tune_images},
            "select": select,
        },
        "search": {"strategy": ["layernorm"], "learning_rate": list(load.rates)},
        "train": train,
        "resources": {"cpus_per_trial": 1, "max_concurrent_trials": 2},
    }


def trials_of(folder: Path) -> list[dict[str, Any]]:
    """The figures of each trial of `lnt`, by the names that the rival gives them."""
    found = []
    for trial in folder.glob("lnt_runs/bench/*/trials/*/"):
        result = json.loads((trial / "result.json").read_text())
        metrics = result["metrics"]
        events = [json.loads(line)[2] for line in (trial / "events.jsonl").open()]
        steps = [event for event in events if "train/loss" in event]
        found.append(
            {
                "rate": yaml.safe_load((trial / "trial.yaml").read_text())["learning_rate"],
                "cider": metrics["select/cider"],
                "trial_s": result["took_s"],
                "tokens_per_s": steps[-1]["train/tokens_per_s"],
                "padded_share": statistics.fmean(s["train/padded_share"] for s in steps),
                "waited_share": statistics.fmean(s["train/data_wait_share"] for s in steps),
                "trainable": metrics["params/trainable"],
            }
        )
    return found


def figures(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the trials, and the winner."""
    names = ("tokens_per_s", "trial_s", "padded_share", "waited_share")
    medians = {
        name: statistics.median(trial[name] for trial in trials) if name in trials[0] else None
        for name in names
    }
    best = max(trials, key=lambda trial: trial["cider"])
    (trainable,) = {int(trial["trainable"]) for trial in trials}
    winner = f"{best['rate']:g}, {best['cider']:.2f}"
    return medians | {"trials": len(trials), "winner": winner, "trainable": trainable}


def table(load: Workload, found: dict[str, dict[str, Any]]) -> str:
    """Both sides as a Markdown table."""
    ours, theirs = (found[side] for side in SIDES)
    assert ours["trainable"] == theirs["trainable"], "the sides train different parameters"
    assert ours["trials"] == theirs["trials"] == len(load.rates), "a trial is missing"
    lines = [
        f"{load.name}: {len(load.rates)} trials of {load.max_steps} steps",
        "",
        "| | lnt run | plain Ray Tune + Trainer + MLflow | ratio |",
        "|---|---:|---:|---:|",
    ]
    for name, label in ROWS.items():
        pair = ours[name], theirs[name]
        shown = [f"{v:.4g}" if isinstance(v, float) else str(v or "not measured") for v in pair]
        lines.append(f"| {label} | {shown[0]} | {shown[1]} | {_ratio(name, *pair)} |")
    return "\n".join(lines) + "\n"


def _ratio(name: str, ours: Any, theirs: Any) -> str:
    """How many times better `lnt` is, above 1, in speed, time and memory."""
    if name == "tokens_per_s":
        return f"{ours / theirs:.2f}"
    return f"{theirs / ours:.2f}" if name in ("trial_s", "wall_s", "cpu_s", "peak_gib") else ""


class UsageClock(CpuClock):
    """CPU time, and the most memory that all processes of a side had together."""

    def __init__(self, mark: str) -> None:
        self.peak_gib, self._kib = 0.0, 0
        super().__init__(mark)

    def _look_at_all(self) -> None:
        self._kib = 0
        super()._look_at_all()
        self.peak_gib = max(self.peak_gib, self._kib / 2**20)

    def _look_at(self, folder: Path) -> None:
        super()._look_at(folder)
        try:
            if self._ours.get(int(folder.name)):
                rollup = (folder / "smaps_rollup").read_text()
                self._kib += int(rollup.partition("\nPss:")[2].split()[0])
        except (ProcessLookupError, FileNotFoundError, PermissionError, IndexError):
            return


if __name__ == "__main__":
    main()
