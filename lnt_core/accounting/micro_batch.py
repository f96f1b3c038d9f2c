"""`auto` in a training config: the micro-batch size and checkpointing that fit the memory."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from lnt_core import metrics as metric
from lnt_core.accounting.fit import largest_that_fits
from lnt_core.accounting.predicted import StepCost
from lnt_core.accounting.trial_costs import TrialSteps
from lnt_core.config import TrainConfig, TrialConfig
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.memory import free_gib, held_by
from lnt_core.distributed.ranks import gather, is_first, num_workers
from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json
from lnt_core.identity import trial_id
from lnt_core.training.loop import Report

logger = logging.getLogger(__name__)

SAFE_SHARE = 0.9  # assumed; predictions for a process on a CPU erred by under 5 % (docs/LOG.md)
"""Share of a worker's memory that the predicted peak may fill. The rest is for what predictions do
not include: fragmentation of the allocator, workspaces of libraries, DeepSpeed's buffers."""
CHOSEN = "micro_batch.json"
"""File in a trial's folder with what was found for it."""
ENOUGH = 4
"""Micro-batch size, assumed, above which a larger one gains less than checkpointing costs: that
repeats every forward pass, which is a third more work."""


@dataclass(frozen=True)
class MicroBatch:
    """The micro-batch size and the checkpointing found for `auto`, and the memory that decided."""

    size: int
    """Samples per forward and backward pass."""
    checkpointing: bool
    """Whether activations are recomputed in the backward pass."""
    peak_gib: float
    """Predicted peak of a step on each worker."""
    whole_gib: float
    """What it would be without checkpointing."""
    limit_gib: float
    """``SAFE_SHARE`` of the memory that a worker may use."""
    is_given: bool = False
    """The size is that of the config; only the checkpointing was found."""

    @property
    def fits(self) -> bool:
        """Whether the predicted peak is within the limit; the trial runs in either case."""
        return self.peak_gib <= self.limit_gib

    def __str__(self) -> str:
        """The size, the checkpointing, and their reason, for the log and MLflow."""
        how = f"{'with' if self.checkpointing else 'without'} gradient checkpointing"
        size = f"{self.size} (as given)" if self.is_given else f"{self.size}"
        whole = f" ({self.whole_gib:.4g} GiB without it)" if self.checkpointing else ""
        peak = f"the predicted peak of {self.peak_gib:.4g} GiB{whole}"
        found = f"{size} {how}, found automatically: {peak} is"
        limit = f"the limit of {self.limit_gib:.4g} GiB ({SAFE_SHARE:.0%} of the available memory)"
        if self.fits:
            return f"{found} within {limit}"
        rest = "try a smaller size" if self.is_given else "no smaller size is possible"
        return f"{found} over {limit}, so it may run out of memory; {rest}"


Predict = Callable[[int, bool], StepCost]
"""Returns the cost of a worker's step at a micro-batch size, with checkpointing or without."""


def choose(
    predict: Predict,
    train: TrainConfig,
    *,
    room_gib: float,
    workers: int = 1,
    allows_checkpointing: bool = True,
) -> MicroBatch:
    """What to take for each `auto` of a config so that the predicted step fits.

    For `micro_batch_size` the largest divisor of the batch size, at most a worker's share of the
    batch. `gradient_checkpointing` is off if the step fits without; if both are `auto`, at no less
    than ``ENOUGH`` samples, or as many as a worker has, or as many as fit with it.

    Args:
        predict: Predicts a worker's step.
        train: The training config, with the batch size.
        room_gib: Memory that a worker may use on its GPU or host, including the model's weights.
        workers: Number of workers that share the batch.
        allows_checkpointing: The strategy works with gradient checkpointing.
    """
    sizes, limit_gib = _sizes(train, workers), SAFE_SHARE * room_gib

    def largest(*, on: bool) -> MicroBatch:
        size, cost = largest_that_fits(lambda size: predict(size, on), sizes, memory_gib=limit_gib)
        is_given = train.micro_batch_size != "auto"
        whole_gib = predict(size, False).peak_gib
        return MicroBatch(size, on, cost.peak_gib, whole_gib, limit_gib, is_given)

    if train.gradient_checkpointing != "auto":
        return largest(on=train.checkpointing)
    whole = largest(on=False)
    if not allows_checkpointing or (whole.fits and whole.size >= min(ENOUGH, sizes[-1])):
        return whole
    lean = largest(on=True)
    return whole if whole.fits and whole.size >= lean.size else lean


def _sizes(train: TrainConfig, workers: int) -> list[int]:
    """The micro-batch sizes to choose from, in increasing order."""
    if train.micro_batch_size != "auto":
        return [train.micro_batch_size]
    share = math.ceil(train.batch_size / workers)
    return [size for size in range(1, share + 1) if train.batch_size % size == 0]


def settle(
    config: TrialConfig, steps: TrialSteps, out: Path, *, report: Report, memory_gib: float | None
) -> TrialConfig:
    """Replace what is `auto` in the training config; a config without `auto` is returned as is.

    A trial that resumes keeps what it began with, whatever memory is free now, because another
    micro-batch size would change the rounding of its losses. Every worker must call this; all use
    the smallest size that any of them found, and checkpointing if any of them needs it.

    Args:
        config: The trial's config.
        steps: Predicts steps of the trial's model, which must be on its device.
        out: The trial's folder, where what was found is stored.
        report: Called with it, for step 0.
        memory_gib: Memory that this process may use. Default: what is free.
    """
    if config.train.is_settled:
        return config
    kept = gather(kept_choice(config, out))[0]
    if kept is None:
        kept = _found(config, steps, memory_gib)
        if is_first():
            logger.log(logging.INFO if kept.fits else logging.WARNING, "micro_batch_size %s", kept)
            write_json(out / CHOSEN, {"trial": trial_id(config)} | asdict(kept))
    told = {
        metric.MICRO_BATCH_SIZE: float(kept.size),
        metric.GRADIENT_CHECKPOINTING: float(kept.checkpointing),
    }
    report(0, told)
    return _with(kept, config)


def _found(config: TrialConfig, steps: TrialSteps, memory_gib: float | None) -> MicroBatch:
    """What all workers of a trial use: it fits the one with the least memory."""

    def predict(size: int, on: bool) -> StepCost:
        return steps.of(config.with_micro_batch(size).with_checkpointing(on=on).train)

    found = gather(
        choose(
            predict,
            config.train,
            room_gib=_room_gib(steps, memory_gib),
            workers=num_workers(),
            allows_checkpointing=steps.strategy.allows_checkpointing,
        )
    )
    size, on = min(each.size for each in found), any(each.checkpointing for each in found)
    return replace(
        found[0],
        size=size,
        checkpointing=on,
        peak_gib=predict(size, on).peak_gib,
        whole_gib=predict(size, False).peak_gib,
        limit_gib=min(each.limit_gib for each in found),
    )


def kept_choice(config: TrialConfig, out: Path) -> MicroBatch | None:
    """What was found when this trial began; None if there is nothing, or a damaged file."""
    path = out / CHOSEN
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except DamagedError as error:
        set_aside(path, error.why, "a trial that has not ended starts again")
        return None
    is_its_own = content.pop("trial") == trial_id(config)  # else left by another trial
    is_whole = content.keys() == {field.name for field in fields(MicroBatch)}  # else of older code
    return MicroBatch(**content) if is_its_own and is_whole else None


def as_begun(config: TrialConfig, out: Path) -> TrialConfig:
    """The config with what was found for `auto` when its trial began, if anything was."""
    kept = None if config.train.is_settled else kept_choice(config, out)
    return config if kept is None else _with(kept, config)


def _with(found: MicroBatch, config: TrialConfig) -> TrialConfig:
    return config.with_micro_batch(found.size).with_checkpointing(on=found.checkpointing)


def _room_gib(steps: TrialSteps, memory_gib: float | None) -> float:
    """Memory that this worker may use: what the model takes already, and what is free."""
    base = steps.prepared.base
    beside = base.tower if is_gpu(base.device) else base.model  # see `lend_to`
    standing_gib = held_by(steps.model, beside)
    return standing_gib + max(0.0, free_gib(base.device, limit_gib=memory_gib))
