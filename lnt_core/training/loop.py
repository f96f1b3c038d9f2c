"""The training loop: sample order, optimizer steps, divergence, exact resume."""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from lnt_core import metrics as metric
from lnt_core.config import TrainConfig
from lnt_core.data.conversation import Encoded
from lnt_core.data.encoded_files import longest
from lnt_core.strategies.base import Strategy
from lnt_core.training.batches import sample_order
from lnt_core.training.checkpoint_times import CheckpointTimes
from lnt_core.training.engine import Engine
from lnt_core.training.engines import engine_for
from lnt_core.training.loader import Loader, Loading
from lnt_core.training.optimizer_step import AfterBackward, optimizer_step

Report = Callable[[int, dict[str, float]], None]
"""Called with an optimizer step and metrics by name."""
DIVERGED_FACTOR = 3.0  # assumed: the loss of a useful run never triples
DIVERGED_WINDOW = 10
"""Number of losses averaged. Training has diverged when a loss is not finite, or when the mean of
the last losses is more than ``DIVERGED_FACTOR`` times the mean of the first."""
REPORTED = "reported"
"""In a checkpoint, beside the divergence monitor: metrics of each step, with ``Hooks.replay``."""


def report_nothing(step: int, metrics: dict[str, float]) -> None:
    """A `Report` for whoever does not want any."""


@dataclass(frozen=True)
class Hooks:
    """Callbacks of the training loop; each gets the optimizer step, which starts at 1."""

    report: Report
    """Called after every step with ``train/loss``, ``train/lr``, ``train/grad_norm``, ..."""
    after_backward: AfterBackward | None = None
    after_step: Callable[[int], None] | None = None
    """Called after every step that did not diverge, for evaluation midway."""
    replay: bool = False
    """Keep what is reported in the checkpoints, and report it again after a resume: for a caller
    who cannot know what was reported before."""


@dataclass(frozen=True)
class Trained:
    """How training ended."""

    steps: int
    """Optimizer steps done, including those of the checkpoint that it resumed from."""
    diverged: bool
    final_loss: float
    """Mean loss of the last ``DIVERGED_WINDOW`` steps, in nats per answer token."""
    train_s: float
    """Seconds since training began or resumed, evaluation midway included."""
    tokens_per_s: float
    """Tokens of all workers per second of ``train_s``."""


@dataclass
class LossMonitor:
    """Detects divergence from the first and the last ``DIVERGED_WINDOW`` losses."""

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)

    def diverged(self, loss: float) -> bool:
        """Record the loss of one step; returns whether the training has diverged."""
        if len(self.first) < DIVERGED_WINDOW:
            self.first.append(loss)
        self.last = [*self.last, loss][-DIVERGED_WINDOW:]
        return not math.isfinite(loss) or self.mean(self.last) > DIVERGED_FACTOR * self.mean(
            self.first
        )

    @staticmethod
    def mean(losses: list[float]) -> float:
        """The mean; NaN of an empty list."""
        return sum(losses) / len(losses) if losses else math.nan


def train(
    model: nn.Module,
    samples: Sequence[Encoded],
    config: TrainConfig,
    *,
    strategy: Strategy,  # type: ignore[type-arg]
    learning_rate: float,
    seed: int,
    loading: Loading,
    hooks: Hooks,
    checkpoint: Path | None = None,
) -> Trained:
    """Train the parameters that require a gradient; resume from ``checkpoint`` if it exists.

    The loss of a step is the mean over the answer tokens of its global batch, in nats. It does not
    depend on how the batch is split into micro-batches and over workers.

    Args:
        model: The tuned model, on its device. Takes what ``Batch.inputs`` gives.
        samples: The encoded conversations of the stage.
        config: Steps, batch sizes, schedule, precision.
        strategy: The strategy that was applied to ``model``; may add a penalty to the loss and act
            after each step.
        learning_rate: Peak learning rate.
        seed: Seed of the sample order.
        loading: How micro-batches are made.
        hooks: Callbacks of the loop.
        checkpoint: File to resume from and to write checkpoints to; None for no checkpoints.
    """
    total = config.num_steps(len(samples))
    engine = engine_for(config)(model, strategy, config, learning_rate=learning_rate, total=total)
    step, monitor, reported = _resumed(engine, checkpoint)
    for earlier, metrics in enumerate(reported, start=1):
        hooks.report(earlier, metrics)

    def keep() -> None:
        if checkpoint is not None:
            replayed = {REPORTED: reported} if hooks.replay else {}
            engine.save(checkpoint, step=step, monitor=vars(monitor) | replayed)

    times = CheckpointTimes(config, engine.summed)
    batches = _batches(samples, config.batch_size, seed=seed, steps=range(step, total))
    model.train()
    diverged, tokens, started = False, 0, time.perf_counter()
    with Loader(
        batches, loading, size=config.micro_batch, most_tokens=_most_tokens(config, samples)
    ) as loader:
        while step < total and not diverged:
            step += 1
            num_tokens, measured = _step(engine, loader, config, step, hooks.after_backward)
            tokens += num_tokens
            measured[metric.TOKENS_PER_S] = tokens / (time.perf_counter() - started)
            diverged = monitor.diverged(measured[metric.LOSS])
            if hooks.replay:
                reported.append(measured)
            try:
                hooks.report(step, measured)
            except (KeyboardInterrupt, SystemExit):  # asked to stop: save the progress so far
                keep()
                raise
            if hooks.after_step is not None and not diverged:
                hooks.after_step(step)
                model.train()
            if checkpoint is not None and (step == total or times.due(step)):
                times.write(keep)
    model.eval()
    elapsed = time.perf_counter() - started
    return Trained(step, diverged, monitor.mean(monitor.last), elapsed, tokens / elapsed)


def _most_tokens(config: TrainConfig, samples: Sequence[Encoded]) -> int:
    """Tokens up to which one worker's micro-batch may have more samples than its size."""
    return config.micro_batch * longest(samples) if config.micro_batch_by == "tokens" else 0


def _step(
    engine: Engine, loader: Loader, config: TrainConfig, step: int, after: AfterBackward | None
) -> tuple[int, dict[str, float]]:
    """Take one optimizer step; returns the tokens of its global batch and what was measured."""
    began, waited_s = time.perf_counter(), loader.waited_s
    share = loader.next_share()
    done = optimizer_step(engine, share, config, step=step, take=loader.take, after_backward=after)
    waited = (loader.waited_s - waited_s) / (time.perf_counter() - began)
    return share.num_tokens, done.metrics() | {metric.DATA_WAIT_SHARE: waited}


def _resumed(
    engine: Engine, checkpoint: Path | None
) -> tuple[int, LossMonitor, list[dict[str, float]]]:
    """Step, divergence monitor and reports to start with: those of the checkpoint if it exists."""
    kept = None if checkpoint is None else engine.load(checkpoint)
    if kept is None:
        return 0, LossMonitor(), []
    step, monitor = kept
    reported = monitor.pop(REPORTED, [])
    return step, LossMonitor(**monitor), reported


def _batches(
    samples: Sequence[Encoded], batch_size: int, *, seed: int, steps: range
) -> Iterator[list[Encoded]]:
    """The global batches of these steps, counted from 0."""
    order = sample_order(len(samples), seed=seed)
    order = itertools.islice(order, steps.start * batch_size, None)
    for _ in steps:
        yield [samples[i] for i in itertools.islice(order, batch_size)]
