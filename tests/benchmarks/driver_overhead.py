"""What the driver itself costs: sweeps of trials that do nothing, against plain Ray Tune.

Run by `make bench`. Both sides run the same number of trials, two at a time in warm workers, each
of which reports one step and an end, and track them in MLflow on sqlite; the rival is what a user
would write: a Tuner with Ray's MLflowLoggerCallback. Each sweep is a process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

METRICS = {"train/loss": 1.0, "train/lr": 1e-3, "train/grad_norm": 1.0, "train/tokens_per_s": 1.0}
SIDES = ("lnt", "plain Ray Tune")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--figure", type=Path, help="draw the growth into this PNG")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        measure(args.side, args.trials[0])
        return
    found = []
    for num_trials in args.trials:
        for side in SIDES:
            found.append(_sweep(side, num_trials))
            print(json.dumps(found[-1]), flush=True)
    if len(args.trials) > 1:
        ours, theirs = (_per_trial(found, side) for side in SIDES)
        print(json.dumps({"ms_per_trial": {SIDES[0]: ours, SIDES[1]: theirs}}))
    if args.figure:
        draw(found, args.figure)


def _sweep(side: str, num_trials: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.driver_overhead", "--side", side]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"LNT_BENCH_FOLDER": folder}
        done = subprocess.run(
            [*command, "--trials", str(num_trials)], env=environment, capture_output=True, text=True
        )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _per_trial(found: list[dict[str, Any]], side: str) -> float:
    """Milliseconds that one more trial takes, start-up left out."""
    first, *_, last = [line for line in found if line["side"] == side]
    more = last["trials"] - first["trials"]
    return round(1000 * (last["wall_s"] - first["wall_s"]) / more, 1)


def measure(side: str, num_trials: int) -> None:
    """One sweep in this process; prints its figures."""
    from sweeps.settings import quiet_libraries

    quiet_libraries()
    folder = Path(os.environ["LNT_BENCH_FOLDER"])
    os.chdir(folder)
    run: dict[str, Callable[[Path, int], float]] = {SIDES[0]: ours, SIDES[1]: plain_tune}
    started = time.perf_counter()
    mlflow_cpu_s = run[side](folder, num_trials)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "side": side,
        "trials": num_trials,
        "wall_s": round(time.perf_counter() - started, 2),
        "driver_cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "driver_peak_mib": round(usage.ru_maxrss / 1024),
    }
    if mlflow_cpu_s:
        figures["mlflow_share_of_cpu"] = round(mlflow_cpu_s / figures["driver_cpu_s"], 3)
    print(json.dumps(figures))


def ours(folder: Path, num_trials: int) -> float:
    """A sweep whose trials do nothing; everything around them is what users get."""
    from rich.console import Console

    from sweeps.config import SweepConfig
    from sweeps.driver import run, tuning
    from sweeps.settings import Settings

    sweep = SweepConfig.model_validate(
        {
            "name": "nothing",
            "model": {"tiny": True},
            "search": {
                "strategy": ["layernorm"],
                "learning_rate": [1e-3 * (1 + i / num_trials) for i in range(num_trials)],
            },
            "tracking": {"uri": f"sqlite:///{folder}/m.db", "storage": str(folder / "runs")},
        }
    )
    trackers = []

    class Watched(run.Tracker):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            trackers.append(self)

    with (
        mock.patch.object(tuning, "run_sweep_trial", nothing),
        mock.patch.object(run, "Tracker", Watched),
        (folder / "console").open("w") as console,
    ):
        outcome = run.run_sweep(sweep, Settings(folder, None, None, None), Console(file=console))
    assert len(outcome.sweep.trials) == num_trials
    return trackers[0].busy_s


def nothing(tune_config: dict[str, Any], context: Any) -> None:
    """In place of ``run_sweep_trial``: no model, no training."""
    from ray import tune

    from lnt_core.trial import WEIGHTS
    from sweeps.storage.events import EVENTS, EventLog
    from sweeps.storage.execution import BASE, Result
    from sweeps.worker.context import BASE_ID

    if tune_config["trial"] == BASE_ID:
        (context.execution.path / BASE).mkdir()
        context.execution.write_base({"select/cider": 1.0})
        tune.report({"step": 0, "trial": BASE_ID, "status": "finished"})
        return
    trial = context.trial(tune_config)
    out = context.execution.trial(trial.id)
    (out / WEIGHTS).mkdir()
    events = EventLog(out / EVENTS)
    events.write(1, METRICS)
    events.write(1, {"select/cider": 1.0, "params/trainable": 10.0})
    events.close()
    tune.report({"step": 1, "trial": trial.id, "status": "running"})
    context.execution.write_result(trial.id, Result("finished", 1, {"select/cider": 1.0}))
    tune.report({"step": 1, "trial": trial.id, "status": "finished", "objective": 1.0})


def plain_tune(folder: Path, num_trials: int) -> float:
    """What a user would write."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    def trial(config: dict[str, float]) -> None:
        tune.report(METRICS)
        tune.report({"select/cider": 1.0})

    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    callback = MLflowLoggerCallback(
        tracking_uri=f"sqlite:///{folder}/m.db", experiment_name="nothing"
    )
    rates = [1e-3 * (1 + i / num_trials) for i in range(num_trials)]
    results = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"lr": tune.grid_search(rates)},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="nothing", storage_path=str(folder / "runs"), verbose=0, callbacks=[callback]
        ),
    ).fit()
    assert len(results) == num_trials
    return 0.0


def draw(found: list[dict[str, Any]], path: Path) -> None:
    """Wall time and peak memory over the number of trials."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, key, label in zip(
        panels,
        ("wall_s", "driver_peak_mib"),
        ("wall time, s", "driver's peak memory, MiB"),
        strict=True,
    ):
        for side in SIDES:
            lines = [line for line in found if line["side"] == side]
            axes.plot([n["trials"] for n in lines], [n[key] for n in lines], "o-", label=side)
        axes.set(xlabel="trials that do nothing", ylabel=label, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
