"""Trials of the checks: a random model, drawn scenes, and what each step and the end reported."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lnt_core.config import DataConfig, ModelConfig, ScenesConfig, TrialConfig
from lnt_core.data.scene_questions import scenes_data
from lnt_core.evaluation.tasks import captioning
from lnt_core.metrics import LOSS
from lnt_core.strategies import STRATEGIES
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from tests.gpu.shapes import Shape
from tests.lnt_core.launch import torchrun
from tests.parts import model_config, save_parts, text_config

STEPS = 4
RUN_S = 300
"""Seconds after which a process that the checks start is taken for hung."""


class WordCounter:
    """In place of ``CiderScorer``, whose tokenizer needs Java: the number of words.

    It orders nothing and says nothing about captions; the trials here need a number.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        del references

    def scores(self, captions: Sequence[str]) -> list[float]:
        return [float(len(caption.split())) for caption in captions]


def score_by_words() -> None:
    """Score captions by :class:`WordCounter` in this process, to its end."""
    captioning.CiderScorer = WordCounter  # type: ignore[misc,assignment]


@dataclass
class Seen:
    """What a trial reported."""

    losses: list[float] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each."""


class Bench:
    """Runs trials in this process, each in a folder that is deleted after it.

    Args:
        shape: Which model and device.
        folder: For the model's parts, the scenes and the trials.
    """

    def __init__(self, shape: Shape, folder: Path) -> None:
        self.shape, self.folder = shape, folder
        self.model = self.parts(shape.language)
        self.data: DataConfig = scenes_data(
            ScenesConfig(num_train=32, num_val=8, num_test=8), folder
        )
        self._workers: dict[tuple[str, ...], Worker] = {}

    def parts(self, language: dict[str, Any]) -> ModelConfig:
        """A saved model with this language model and a small tower, in a folder of its own."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return model_config(save_parts(folder, text_config(tie_word_embeddings=False, **language)))

    def worker(self, device: str | None = None, key: str = "") -> Worker:
        """The worker on a device (the shape's by default); one for each ``key``."""
        device = device or self.shape.device
        if (device, key) not in self._workers:
            self._workers[device, key] = Worker(self.folder, device=device)
        return self._workers[device, key]

    def forget_workers(self) -> None:
        """Drop the workers, and with them their models."""
        self._workers.clear()

    def config(
        self, strategy: str, *, model: ModelConfig | None = None, **train: Any
    ) -> TrialConfig:
        """A trial of some steps; ``train`` replaces values of its training config."""
        given = {
            "precision": "fp32",
            "max_steps": STEPS,
            "batch_size": 8,
            "micro_batch_size": 4,
            "checkpoint_every_steps": 2,
            "gradient_checkpointing": STRATEGIES[strategy].allows_checkpointing,
        }
        return TrialConfig.model_validate(
            {
                "model": model or self.model,
                "data": self.data,
                "strategy": {"name": strategy},
                "learning_rate": 1e-3,
                "train": given | train,
            }
        )

    def trial(
        self, config: TrialConfig, worker: Worker | None = None, *, stop_after: int | None = None
    ) -> Seen:
        """Run a trial; with ``stop_after`` it is stopped after that step, and then resumed."""
        seen, out = Seen(), Path(tempfile.mkdtemp(dir=self.folder))
        to_stop = [] if stop_after is None else [stop_after]

        def report(step: int, metrics: dict[str, float]) -> None:
            seen.metrics.update(metrics)
            if LOSS in metrics:
                seen.losses.append(metrics[LOSS])
            if step in to_stop:
                to_stop.clear()
                raise KeyboardInterrupt

        try:
            for _ in range(1 + len(to_stop)):
                with contextlib.suppress(KeyboardInterrupt):
                    run_trial(config, out=out, report=report, worker=worker or self.worker())
        finally:
            shutil.rmtree(out)
        return seen

    def apart(
        self,
        config: TrialConfig,
        *,
        workers: int = 1,
        out: Path | None = None,
        stop_after: int = 0,
        **environment: str,
    ) -> Seen:
        """Run a trial in processes of its own (``tests.gpu.one_trial``).

        Args:
            config: The trial.
            workers: Processes, under torchrun if there are several.
            out: Its folder; by default a new one.
            stop_after: The step after which it is stopped; 0: none.
            environment: Variables of these processes.
        """
        out = out or Path(tempfile.mkdtemp(dir=self.folder))
        asked, told = out / "asked.json", out / "told.json"
        asked.write_text(config.model_dump_json())
        own = [str(asked), str(out), str(self.folder), self.shape.device, str(stop_after)]
        run_module([*torchrun(workers), "tests.gpu.one_trial", *own], **environment)
        return Seen(**json.loads(told.read_text()))


def run_module(command: list[str], **environment: str) -> str:
    """Run a program of the checks to its end; returns what it printed.

    Raises:
        RuntimeError: It failed; the message has the end of its errors.
    """
    inherited = {k: v for k, v in os.environ.items() if k != "DS_ACCELERATOR"}  # of this process
    done = subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, timeout=RUN_S
    )
    if done.returncode:
        raise RuntimeError(ended(done))
    return done.stdout


def ended(done: subprocess.CompletedProcess[str]) -> str:
    """How a program failed: its last line first, which says the most, then the lines before it."""
    printed = (done.stdout + done.stderr).strip()[-3000:]
    return f"exit code {done.returncode}: {printed.splitlines()[-1:]}\n{printed}"
