"""Trains an exported `best.yaml` again, in one process or by torchrun."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from lnt_core.errors import ConfigError, TrialError
from lnt_core.trial import TrialResult, run_trial
from sweeps.export.best import BestConfig
from sweeps.worker.process import worker_for


def train_best(best: BestConfig, out: Path, cache: Path) -> TrialResult:
    """Train an exported trial once more: in this process, or in as many as it ran in.

    Raises:
        LntError: It cannot be trained here; says why.
    """
    if best.resources.workers_of(best.trial.strategy.name) > 1:
        return train_with_torchrun(best, out, cache)
    from rich.progress import Progress

    worker = worker_for(best.resources, cache)
    with Progress(transient=True) as bar:
        bar_task = bar.add_task("preparing", total=None)
        samples = worker.prepare(best.trial).samples
        total = best.trial.train.num_steps(len(samples))

        def show(step: int, metrics: dict[str, float]) -> None:
            bar.update(bar_task, completed=step, total=total, description="training")

        return run_trial(best.trial, out=out, report=show, worker=worker)


def train_with_torchrun(best: BestConfig, out: Path, cache: Path) -> TrialResult:
    """Train an exported trial once more, in as many processes as it ran in, by ``torchrun``.

    Raises:
        ConfigError: There are too few GPUs here.
        TrialError: A process failed; its last words.
    """
    import torch

    resources = best.resources
    num_workers, on_gpu = resources.workers_of(best.trial.strategy.name), resources.gpus_per_trial
    if on_gpu and torch.cuda.device_count() < num_workers:
        raise ConfigError(
            f"the trial ran in {num_workers} workers with a GPU each, and there are "
            f"{torch.cuda.device_count()} here: set resources.workers_per_trial in best.yaml to as "
            "many as there are; the losses are the same"
        )
    out.mkdir(parents=True, exist_ok=True)
    config = out / "trial.yaml"
    config.write_text(yaml.safe_dump(best.trial.model_dump(mode="json"), sort_keys=False))
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={num_workers}"]
    where = ["--out", str(out), "--cache", str(cache), "--device", "cuda" if on_gpu else "cpu"]
    where += ["--threads", str(max(1, int(resources.cpus_per_trial)))]
    command = [sys.executable, "-m", *run, "-m", "lnt_core.trial", str(config), *where]
    with tempfile.TemporaryFile("w+") as said:
        training = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        lines = _followed(training)
        if training.wait() != 0:
            said.seek(0)
            last = said.read()[-2000:]
            raise TrialError(f"one of {num_workers} workers failed:\n{last}")
    result = next(line for line in reversed(lines) if line.startswith("{"))  # libraries print too
    return TrialResult(**json.loads(result))


def _followed(training: "subprocess.Popen[str]") -> list[str]:
    """What it prints, a line each; the step it is at stands in the terminal meanwhile."""
    from rich.console import Console

    lines = []
    assert training.stdout is not None
    with Console(stderr=True).status("preparing") as status:
        for line in training.stdout:
            lines.append(line)
            step = line.split(" ", 1)[0]
            if step.isdecimal():
                status.update(f"training, step {step}")
    return lines
