"""Warm workers against a process a trial: seconds a trial, as a ratio in one run.

Run by `make bench`. The rival is what a user would do instead: the same trials by the same code,
each in a process of its own (a shell loop, or Ray Tune as it comes).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

TRAIN = {"max_steps": 20, "batch_size": 16, "micro_batch_size": 16, "gradient_checkpointing": False}
SAME = {
    "model": {"tiny": True},
    "data": {"scenes": {}},
    "align": TRAIN | {"learning_rate": 5e-3},
    "train": TRAIN,
}
"""What a trial alone and a trial of the sweep have in common."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lnt")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument(
        "--with", dest="changes", type=json.loads, default={}, help="keys of both sides, as JSON"
    )
    args = parser.parse_args()
    same = SAME | args.changes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _trial_alone(folder, args.cache, same, 1e-5)  # fills the cache for both
        rates = _rates(args.trials)
        alone_s = _timed(lambda: [_trial_alone(folder, args.cache, same, rate) for rate in rates])
        few_s, many_s = (
            _timed(lambda n=n: _sweep(folder, args.cache, same, n)) for n in (1, 1 + args.trials)
        )
    alone_s /= args.trials
    warm_s = (many_s - few_s) / args.trials
    figures = {
        "process_per_trial_s": round(alone_s, 2),
        "warm_worker_s": round(warm_s, 2),
        "ratio": round(alone_s / warm_s, 2),
        "sweep_start_s": round(few_s - warm_s, 2),
    }
    print(json.dumps(figures))


def _timed(work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _rates(num_trials: int) -> list[float]:
    return [1e-3 / 2**i for i in range(num_trials)]


def _trial_alone(folder: Path, cache: Path, same: dict[str, Any], rate: float) -> None:
    config = same | {"strategy": {"name": "layernorm"}, "learning_rate": rate}
    path = folder / f"trial-{rate}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "lnt_core.trial", str(path), "--cache", str(cache)]
    command += ["--out", str(folder / f"out-{rate}")]
    subprocess.run(command, check=True, capture_output=True)


def _sweep(folder: Path, cache: Path, same: dict[str, Any], num_trials: int) -> None:
    """One worker, so that both sides run one trial at a time."""
    sweep = same | {
        "name": f"bench-{num_trials}",
        "search": {"strategy": ["layernorm"], "learning_rate": _rates(num_trials)},
        "resources": {"max_concurrent_trials": 1, "cpus_per_trial": 2},
    }
    path = folder / f"sweep-{num_trials}.yaml"
    path.write_text(yaml.safe_dump(sweep))
    lnt = str(Path(sys.executable).parent / "lnt")
    env = {"LNT_CACHE": str(cache), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run([lnt, "run", str(path)], cwd=folder, env=env, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())


if __name__ == "__main__":
    main()
