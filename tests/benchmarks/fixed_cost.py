"""What a sweep costs besides its trials: the demo's model, one strategy, two trials at a time.

Run by `make bench`. The fixed cost is the wall time of `lnt run` less the trials' own: their number
times the median of what one took, shared by the workers. So the first trial's start counts, which
imports and prepares. Stage 1 is in the cache. With ``--against DIR``, another checkout runs the
same sweep in turns, so that both meet the same machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import yaml

TRAIN = {"max_steps": 20, "batch_size": 16, "micro_batch_size": 16, "gradient_checkpointing": False}
SAME = {
    "model": {"tiny": True},
    "align": TRAIN | {"learning_rate": 5e-3},
    "train": TRAIN,
}
NUM_WORKERS = 2
RUN = "import sys; from sweeps.cli.main import main; sys.exit(main())"
HERE = Path(__file__).parents[2]
MARK = "LNT_BENCH_ID"
"""Environment variable by which a sweep's processes are known, Ray's included."""
POLL_S = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lnt")
    parser.add_argument("--trials", type=int, default=11)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="another checkout, which takes turns")
    parser.add_argument(
        "--with", dest="changes", type=json.loads, default={}, help="keys of the sweep, as JSON"
    )
    args = parser.parse_args()
    sides = {"here": HERE} | ({"against": args.against.resolve()} if args.against else {})
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    sweep = SAME | args.changes
    _measure(HERE, args.cache, sweep, 1)  # fills the cache
    outcomes = []
    for number in range(args.rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            figures, outcome = _measure(sides[side], args.cache, sweep, args.trials)
            outcomes.append(outcome)
            found[side].append(figures)
            print(json.dumps({"side": side} | figures), flush=True)
    for side, lines in found.items():
        medians = {key: round(statistics.median(f[key] for f in lines), 2) for key in lines[0]}
        print(json.dumps({"median_of": side} | medians))
    assert all(outcome == outcomes[0] for outcome in outcomes), "sweeps with unequal losses"


def _measure(
    checkout: Path, cache: Path, same: dict[str, Any], num_trials: int
) -> tuple[dict[str, float], Any]:
    """One sweep: where its wall time went, its CPU time, and the losses and scores it gave."""
    search = {"strategy": ["layernorm"], "learning_rate": [1e-3 / 2**i for i in range(num_trials)]}
    resources = {"cpus_per_trial": 1, "max_concurrent_trials": NUM_WORKERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sweep = same | {"name": "fixed", "search": search, "resources": resources}
        (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
        environment = os.environ | {
            "LNT_CACHE": str(cache),
            "PYTHONPATH": str(checkout),
            MARK: folder.name,
        }
        began_s = time.time()
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "run", "sweep.yaml"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        clock = CpuClock(folder.name)
        printed, _ = process.communicate()
        whole_s = time.time() - began_s
        cpu_s = clock.stop()
        if process.returncode:
            sys.exit(printed)
        return _figures(folder, began_s, whole_s) | {"cpu_s": cpu_s}, _outcome(folder)


def _figures(folder: Path, began_s: float, whole_s: float) -> dict[str, float]:
    """Seconds, by when files of the execution were last written."""
    (execution,) = folder.glob("lnt_runs/fixed/*/")
    results = sorted(execution.glob("trials/*/result.json"), key=lambda path: path.stat().st_mtime)
    own_s = statistics.median(json.loads(path.read_text())["took_s"] for path in results)
    moments = {
        "until_execution_s": execution / "execution.json",
        "until_base_scored_s": execution / "base.json",
        "until_first_result_s": results[0],
        "until_last_result_s": results[-1],
        "until_report_s": execution / "report.html",
    }
    figures = {name: path.stat().st_mtime - began_s for name, path in moments.items()}
    figures |= {"wall_s": whole_s, "trial_s": own_s}
    figures["fixed_s"] = whole_s - len(results) * own_s / min(NUM_WORKERS, len(results))
    return {name: round(value, 2) for name, value in figures.items()}


def _outcome(folder: Path) -> dict[float, Any]:
    """The loss of each step and the score, by learning rate, of an earlier format of events too."""
    found = {}
    for trial in folder.glob("lnt_runs/fixed/*/trials/*/"):
        rate = yaml.safe_load((trial / "trial.yaml").read_text())["learning_rate"]
        events = [json.loads(line) for line in (trial / "events.jsonl").read_text().splitlines()]
        losses = [(e[0], e[2]["train/loss"]) for e in events if "train/loss" in e[2]]
        metrics = json.loads((trial / "result.json").read_text())["metrics"]
        found[rate] = (losses, metrics["select/cider"])
    return found


class CpuClock:
    """CPU time of every process whose environment carries the mark, Ray's daemons included."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self._seen: dict[int, float] = {}
        self._ours: dict[int, bool] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> float:
        """CPU seconds so far; what a process used in its last moments is missing."""
        self._ended.set()
        self._thread.join()
        return round(sum(self._seen.values()), 1)

    def _run(self) -> None:
        while not self._ended.wait(POLL_S):
            self._look_at_all()

    def _look_at_all(self) -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            self._look_at(folder)

    def _look_at(self, folder: Path) -> None:
        pid = int(folder.name)
        try:
            if pid not in self._ours:
                self._ours[pid] = self._mark in (folder / "environ").read_bytes().split(b"\0")
            if self._ours[pid]:
                user, system = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
                self._seen[pid] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            return


if __name__ == "__main__":
    main()
