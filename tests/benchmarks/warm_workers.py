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

import yaml

TRAIN = {"max_steps": 20, "batch_size": 16, "micro_batch_size": 16, "gradient_checkpointing": False}
RATES = (1e-3, 3e-4, 1e-4, 3e-5)
ALIGN = TRAIN | {"learning_rate": 5e-3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "lnt")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _trial_alone(Path(folder), args.cache, 1e-5)  # fills the cache for both
        alone_s = _timed(
            lambda: [_trial_alone(Path(folder), args.cache, rate) for rate in RATES]
        ) / len(RATES)
        few_s, many_s = (
            _timed(lambda n=n: _sweep(Path(folder), args.cache, n)) for n in (1, 1 + len(RATES))
        )
    warm_s = (many_s - few_s) / len(RATES)
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


def _trial_alone(folder: Path, cache: Path, rate: float) -> None:
    config = {
        "model": {"tiny": True},
        "data": {"scenes": {}},
        "strategy": {"name": "layernorm"},
        "learning_rate": rate,
        "align": ALIGN,
        "train": TRAIN,
    }
    path = folder / f"trial-{rate}.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "lnt_core.trial", str(path), "--cache", str(cache)]
    command += ["--out", str(folder / f"out-{rate}")]
    subprocess.run(command, check=True, capture_output=True)


def _sweep(folder: Path, cache: Path, num_trials: int) -> None:
    """One worker, so that both sides run one trial at a time."""
    rates = [1e-3 / 2**i for i in range(num_trials)]
    sweep = {
        "name": f"bench-{num_trials}",
        "model": {"tiny": True},
        "align": ALIGN,
        "search": {"strategy": ["layernorm"], "learning_rate": rates},
        "train": TRAIN,
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
