"""Do trials wait for MLflow? Seconds a trial with the server there, answering 500, and silent.

Run by `make bench`. The same sweep each time, through a proxy that fails from the first trial to
the last; conditions take turns, so that a machine that warms up favours none. What a user would
do instead, calling MLflow from the trial, waits as long as the server is away (docs/LOG.md).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from tests.proxy import Faulty, faulty_proxy
from tests.servers import USER, mlflow_server

STAGE = {"batch_size": 8, "micro_batch_size": 8, "gradient_checkpointing": False}
MODES = ("pass", "500", "hang")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lnt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=6, help="at least 2: the first is left out")
    parser.add_argument("--modes", nargs="+", choices=MODES[1:], default=MODES[1:])
    parser.add_argument(
        "--with", dest="changes", type=json.loads, default={}, help="keys of the sweep, as JSON"
    )
    args = parser.parse_args()
    modes = (MODES[0], *args.modes)
    taken: dict[str, list[float]] = {mode: [] for mode in modes}
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as server:
        for round_ in range(args.rounds):
            for mode in modes:
                with faulty_proxy(server.url) as proxy:
                    name = f"{mode}-{round_}"
                    sweep = _content(name, args.trials) | args.changes
                    taken[mode] += _run(sweep, Path(folder) / name, proxy, mode, args.cache)
    medians = {mode: statistics.median(seconds) for mode, seconds in taken.items()}
    print(json.dumps({f"{mode}_s_per_trial": round(s, 3) for mode, s in medians.items()}))
    for mode in modes[1:]:
        print(json.dumps({f"{mode}_to_pass": round(medians[mode] / medians["pass"], 3)}))


def _content(name: str, num_trials: int) -> dict[str, Any]:
    return {
        "name": name,
        "model": {"tiny": True},
        "data": {"scenes": {"num_train": 120, "num_val": 16, "num_test": 16}},
        "align": {"max_steps": 10, **STAGE},
        "search": {"strategy": ["layernorm"], "learning_rate": _rates(num_trials)},
        "train": {"max_steps": 150, **STAGE},
        "resources": {"max_concurrent_trials": 1},
    }


def _rates(num_trials: int) -> list[float]:
    return [1e-3 / 2**i for i in range(num_trials)]


def _run(sweep: dict[str, Any], folder: Path, proxy: Faulty, mode: str, cache: Path) -> list[float]:
    """Run it, with the server failing from the first trial's first step on; seconds a trial."""
    folder.mkdir()
    sweep["tracking"] = {"uri": proxy.url, "storage": str(folder / "runs")}
    num_trials = len(sweep["search"]["learning_rate"])
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    lnt = str(Path(sys.executable).parent / "lnt")
    environment = os.environ | USER | {"LNT_CACHE": str(cache)}
    with (folder / "log").open("wb") as log:
        driver = subprocess.Popen(
            [lnt, "run", "sweep.yaml"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    while not list(folder.glob("runs/*/*/trials/*/events.jsonl")):
        assert driver.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    proxy.mode = mode
    while len(found := list(folder.glob("runs/*/*/trials/*/result.json"))) < num_trials:
        assert driver.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    proxy.mode = "pass"
    if driver.wait(timeout=300):
        sys.exit((folder / "log").read_text())
    # the first trial builds what the others find
    order = sorted(found, key=lambda path: path.stat().st_mtime)[1:]
    return [json.loads(path.read_text())["took_s"] for path in order]


if __name__ == "__main__":
    main()
