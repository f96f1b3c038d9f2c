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

import yaml

from tests.proxy import Faulty, faulty_proxy
from tests.servers import USER, mlflow_server

STAGE = {"batch_size": 8, "micro_batch_size": 8, "gradient_checkpointing": False}
RATES = [1e-3 / 2**i for i in range(6)]
MODES = ("pass", "500", "hang")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lnt")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    taken: dict[str, list[float]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as server:
        for round_ in range(args.rounds):
            for mode in MODES:
                with faulty_proxy(server.url) as proxy:
                    name = f"{mode}-{round_}"
                    taken[mode] += _sweep(Path(folder) / name, name, proxy, mode, args.cache)
    medians = {mode: statistics.median(seconds) for mode, seconds in taken.items()}
    print(json.dumps({f"{mode}_s_per_trial": round(s, 3) for mode, s in medians.items()}))
    for mode in MODES[1:]:
        print(json.dumps({f"{mode}_to_pass": round(medians[mode] / medians["pass"], 3)}))


def _sweep(folder: Path, name: str, proxy: Faulty, mode: str, cache: Path) -> list[float]:
    """Run it, with the server failing from the first trial's first step on; seconds a trial."""
    folder.mkdir()
    sweep = {
        "name": name,
        "model": {"tiny": True},
        "data": {"scenes": {"num_train": 120, "num_val": 16, "num_test": 16}},
        "align": {"max_steps": 10, **STAGE},
        "search": {"strategy": ["layernorm"], "learning_rate": RATES},
        "train": {"max_steps": 150, **STAGE},
        "resources": {"max_concurrent_trials": 1},
        "tracking": {"uri": proxy.url, "storage": str(folder / "runs")},
    }
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
    while len(found := list(folder.glob("runs/*/*/trials/*/result.json"))) < len(RATES):
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
