"""The training loop: batches in order, accumulation, divergence, exact resume."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lnt_core import metrics as metric
from lnt_core.config import TrainConfig
from lnt_core.data.batches import Batch, collate, sample_order
from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.models.features import FeatureStore
from lnt_core.strategies.base import Strategy
from lnt_core.training.engine import Engine
from lnt_core.training.engines import engine_for

Report = Callable[[int, dict[str, float]], None]
"""Takes the optimiser step and metrics by name."""
Gradient = Callable[[nn.Parameter], Tensor | None]
"""A parameter's gradient of the whole batch."""

DIVERGED_FACTOR = 3.0  # assumed: a useful run's loss never trebles
DIVERGED_WINDOW = 10
"""A trial diverged when its loss is not finite, or when the mean of this many steps is
``DIVERGED_FACTOR`` times the mean of its first so many."""


@dataclass(frozen=True)
class Hooks:
    """Who is told of each step, from 1 on."""

    report: Report
    """After every step: ``train/loss``, ``train/lr``, ``train/grad_norm``, ..."""
    after_backward: Callable[[int, Gradient], None] | None = None
    """While the gradients of the loss are there, without the penalty's and not yet clipped."""
    after_step: Callable[[int], None] | None = None
    """After a completed step, for evaluation midway."""


@dataclass(frozen=True)
class Trained:
    """How a stage ended."""

    steps: int
    diverged: bool
    final_loss: float
    """Mean over the last ``DIVERGED_WINDOW`` steps, nats per answer token; NaN if not finite."""
    train_s: float
    """Seconds of training in this process, without what a checkpoint had done before."""
    tokens_per_s: float


@dataclass
class LossMonitor:
    """The first and the last few losses: enough to tell a diverged trial."""

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)

    def diverged(self, loss: float) -> bool:
        """Take in the loss of one step and judge."""
        if len(self.first) < DIVERGED_WINDOW:
            self.first.append(loss)
        self.last = [*self.last, loss][-DIVERGED_WINDOW:]
        return not math.isfinite(loss) or self.mean(self.last) > DIVERGED_FACTOR * self.mean(
            self.first
        )

    @staticmethod
    def mean(losses: list[float]) -> float:
        """Mean, or NaN of nothing."""
        return sum(losses) / len(losses) if losses else math.nan


@dataclass(frozen=True)
class Step:
    """What one optimiser step measured."""

    loss: float
    """Mean over the answer tokens, nats; without the strategy's penalty."""
    learning_rate: float
    """Of the schedule, after the step."""
    grad_norm: float
    """Before clipping."""
    penalty: float | None

    def metrics(self) -> dict[str, float]:
        """By the names of MLflow."""
        told = {
            metric.LOSS: self.loss,
            metric.LEARNING_RATE: self.learning_rate,
            metric.GRAD_NORM: self.grad_norm,
        }
        return told if self.penalty is None else told | {metric.PENALTY: self.penalty}


def train(
    model: nn.Module,
    samples: Sequence[Encoded],
    config: TrainConfig,
    *,
    strategy: Strategy,  # type: ignore[type-arg]
    learning_rate: float,
    seed: int,
    store: FeatureStore,
    pad_id: int,
    hooks: Hooks,
    checkpoint: Path | None = None,
) -> Trained:
    """Train the parameters that require a gradient; resume from ``checkpoint`` if it exists.

    The loss of a step is the mean over the answer tokens of its whole batch, in nats, however
    the batch is split into micro-batches.

    Args:
        model: On its device; takes ``input_ids``, ``attention_mask``, ``pixel_values``.
        strategy: What was applied to ``model``; it may add to the loss and act after a step.
        samples: The encoded tune data.
        config: Steps, batch sizes, schedule, precision.
        learning_rate: Peak rate.
        seed: Of the sample order.
        store: Image features.
        pad_id: Token id that pads.
        hooks: Who is told of each step.
        checkpoint: File to resume from and to write to; None keeps none.
    """

    def to_batch(part: Sequence[Encoded]) -> Batch:
        return collate(part, pad_id=pad_id, store=store)

    total = config.num_steps(len(samples))
    engine = engine_for(config)(model, strategy, config, learning_rate=learning_rate, total=total)
    step, monitor = _resumed(engine, checkpoint)

    def keep() -> None:
        if checkpoint is not None:
            engine.save(checkpoint, step=step, monitor=vars(monitor))

    batches = _batches(samples, config.batch_size, seed=seed, num_done=step)
    model.train()
    diverged, tokens, started = False, 0, time.perf_counter()
    while step < total and not diverged:
        chosen = next(batches)
        step += 1
        done = optimizer_step(engine, chosen, config, step=step, hooks=hooks, to_batch=to_batch)
        tokens += sum(len(sample.input_ids) for sample in chosen)
        diverged = monitor.diverged(done.loss)
        tokens_per_s = tokens / (time.perf_counter() - started)
        try:
            hooks.report(step, done.metrics() | {metric.TOKENS_PER_S: tokens_per_s})
        except (KeyboardInterrupt, SystemExit):  # told to stop: what is trained so far is kept
            keep()
            raise
        if hooks.after_step is not None and not diverged:
            hooks.after_step(step)
            model.train()
        if step % config.checkpoint_every_steps == 0 or step == total:
            keep()
    model.eval()
    elapsed = time.perf_counter() - started
    return Trained(step, diverged, monitor.mean(monitor.last), elapsed, tokens / elapsed)


def _resumed(engine: Engine, checkpoint: Path | None) -> tuple[int, LossMonitor]:
    """The step that a checkpoint stands at, 0 without one, and the losses so far."""
    kept = None if checkpoint is None else engine.load(checkpoint)
    return (0, LossMonitor()) if kept is None else (kept[0], LossMonitor(**kept[1]))


def _batches(
    samples: Sequence[Encoded], batch_size: int, *, seed: int, num_done: int
) -> Iterator[list[Encoded]]:
    """Batches without end, in the order of the seed, from step ``num_done + 1`` on."""
    order = itertools.islice(sample_order(len(samples), seed=seed), num_done * batch_size, None)
    while True:
        yield [samples[i] for i in itertools.islice(order, batch_size)]


def optimizer_step(
    engine: Engine,
    chosen: Sequence[Encoded],
    config: TrainConfig,
    *,
    step: int,
    hooks: Hooks,
    to_batch: Callable[[Sequence[Encoded]], Batch],
) -> Step:
    """One step over the batch, of which this worker computes its share."""
    num_answer_tokens = sum(label != IGNORE for sample in chosen for label in sample.labels[1:])
    total = 0.0
    for samples in engine.share(chosen):
        loss = answer_loss(
            engine.model,
            to_batch(samples or chosen[:1]),
            num_answer_tokens=num_answer_tokens,
            bf16=config.precision == "bf16",
        )
        engine.backward(loss if samples else 0 * loss)
        total += loss.item() if samples else 0.0
    total = engine.summed(total)
    if hooks.after_backward is not None:
        hooks.after_backward(step, engine.gradient)
    penalty = engine.penalty()
    norm = engine.update(step)
    engine.clear()
    rate = float(engine.state.schedule.get_last_lr()[0])
    return Step(total, rate, norm, penalty)


def answer_loss(
    model: nn.Module, batch: Batch, *, num_answer_tokens: int, bf16: bool = False
) -> Tensor:
    """Cross-entropy of one micro-batch's answer tokens, as its share of the step's mean.

    Position t predicts token t + 1. The sum is divided by the answer tokens of the whole
    optimiser step, so that micro-batch losses add up to the exact mean.

    Args:
        model: Gives logits of shape (B, T', V) for the last T' positions.
        batch: B conversations of T tokens.
        num_answer_tokens: Labels other than ``IGNORE`` in the whole step.
        bf16: Run under bfloat16 autocast; the loss itself is float32.

    Returns:
        Scalar float32, nats.

    Source:
        Liu et al., Visual Instruction Tuning, arXiv:2304.08485: only answers enter the loss.
    """
    device = next(model.parameters()).device
    if num_answer_tokens == 0:
        raise ValueError("a batch without any answer token has nothing to learn from")
    first = int((batch.labels != IGNORE).any(dim=0).nonzero()[0])
    keep = batch.labels.shape[1] - max(first - 1, 0)  # logits before the first answer are unused
    context = torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    with context:
        logits = model(
            input_ids=batch.input_ids.to(device),
            attention_mask=batch.attention_mask.to(device),
            pixel_values=batch.features,
            logits_to_keep=keep,
            use_cache=False,
        ).logits
    labels = batch.labels[:, -keep:].to(device)
    loss = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        labels[:, 1:].flatten(),
        ignore_index=IGNORE,
        reduction="sum",
    )
    return loss / num_answer_tokens
