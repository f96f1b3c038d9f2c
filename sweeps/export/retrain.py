"""Trains an exported `best.yaml` again, in this process or with torchrun."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from lnt_core.errors import ConfigError, TrialError
from lnt_core.trial import TrialResult, run_trial
from sweeps import signals
from sweeps.export.best import BestConfig
from sweeps.plan.labels import counted
from sweeps.worker.process import worker_for


def train_best(best: BestConfig, out: Path, cache: Path) -> TrialResult:
    """Train an exported trial again, in as many processes as it ran in.

    Args:
        best: The exported trial.
        out: Output folder of the trial.
        cache: Folder that caches the tiny model, drawn scenes and stage 1.

    Raises:
        LntError: The trial cannot be trained on this machine; the message says why.
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
    """Train an exported trial again with ``torchrun``, in as many processes as it ran in.

    Raises:
        ConfigError: This machine has too few GPUs.
        TrialError: A process failed; the message has the end of the standard error.
    """
    import torch

    resources = best.resources
    num_workers, on_gpu = resources.workers_of(best.trial.strategy.name), resources.gpus_per_trial
    if on_gpu and torch.cuda.device_count() < num_workers:
        raise ConfigError(
            f"the trial ran in {num_workers} workers with a GPU each, and this machine has "
            f"{counted(torch.cuda.device_count(), 'GPU')}: set resources.workers_per_trial in "
            "best.yaml to that number; the losses stay the same"
        )
    out.mkdir(parents=True, exist_ok=True)
    config = out / "trial.yaml"
    config.write_text(yaml.safe_dump(best.trial.model_dump(mode="json"), sort_keys=False))
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={num_workers}"]
    options = ["--out", str(out), "--cache", str(cache), "--device", "cuda" if on_gpu else "cpu"]
    options += ["--threads", str(max(1, int(resources.cpus_per_trial)))]
    command = [sys.executable, "-m", *run, "-m", "lnt_core.trial", str(config), *options]
    with tempfile.TemporaryFile("w+") as stderr:
        training = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=signals.receive_signals,
        )
        try:
            lines = _followed(training)
        except BaseException:
            training.terminate()
            training.wait()
            raise
        if training.wait() != 0:
            stderr.seek(0)
            last = stderr.read()[-2000:]
            raise TrialError(f"one of {num_workers} workers failed:\n{last}")
    result = next(
        line for line in reversed(lines) if line.startswith("{")
    )  # libraries print other lines
    return TrialResult(**json.loads(result))


def _followed(training: "subprocess.Popen[str]") -> list[str]:
    """The lines that the training prints; until it ends, the terminal shows the current step."""
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
