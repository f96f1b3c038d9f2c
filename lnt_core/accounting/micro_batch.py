"""`micro_batch_size: auto`: finds the largest size whose predicted step fits the memory."""

import logging
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
"""File in a trial's folder with the size that was found for it."""


@dataclass(frozen=True)
class MicroBatch:
    """The micro-batch size found for `auto`, and the memory that decided it."""

    size: int
    """Samples per forward and backward pass."""
    peak_gib: float
    """Predicted peak of a step on each worker."""
    limit_gib: float
    """``SAFE_SHARE`` of the memory that a worker may use."""

    @property
    def fits(self) -> bool:
        """Whether the predicted peak is within the limit; the trial runs in either case."""
        return self.peak_gib <= self.limit_gib

    def __str__(self) -> str:
        """The size and its reason, for the log and MLflow."""
        found = f"{self.size}, found automatically: the predicted peak of {self.peak_gib:.4g} GiB"
        limit = f"the limit of {self.limit_gib:.4g} GiB ({SAFE_SHARE:.0%} of the available memory)"
        if self.fits:
            return f"{found} is within {limit}"
        return f"{found} is over {limit}, so it may run out of memory; no smaller size is possible"


def choose(
    predict: Callable[[int], StepCost], train: TrainConfig, *, room_gib: float, workers: int = 1
) -> MicroBatch:
    """The largest divisor of the batch size whose predicted step fits.

    It is at most a worker's share of the batch.

    Args:
        predict: Returns the cost of a worker's step at a micro-batch size.
        train: The training config, with the batch size.
        room_gib: Memory that a worker may use on its GPU or host, including the model's weights.
        workers: Number of workers that share the batch.
    """
    share = math.ceil(train.batch_size / workers)
    sizes = [size for size in range(1, share + 1) if train.batch_size % size == 0]
    limit_gib = SAFE_SHARE * room_gib
    size, cost = largest_that_fits(predict, sizes, memory_gib=limit_gib)
    return MicroBatch(size, cost.peak_gib, limit_gib)


def settle(
    config: TrialConfig, steps: TrialSteps, out: Path, *, report: Report, memory_gib: float | None
) -> TrialConfig:
    """Replace `micro_batch_size: auto` by a number; a config that has a number is returned as is.

    A trial that resumes keeps the number that it began with, whatever memory is free now, because
    another number would change the rounding of its losses. Every worker must call this; they all
    use the smallest number that any of them found.

    Args:
        config: The trial's config.
        steps: Predicts steps of the trial's model, which must be on its device.
        out: The trial's folder, where the number is stored.
        report: Called with the number, for step 0.
        memory_gib: Memory that this process may use. Default: what is free.
    """
    if config.train.micro_batch_size != "auto":
        return config
    kept = gather(kept_choice(config, out))[0]
    if kept is None:
        found = choose(
            lambda size: steps.of(config.with_micro_batch(size).train),
            config.train,
            room_gib=_room_gib(steps, memory_gib),
            workers=num_workers(),
        )
        kept = min(gather(found), key=lambda choice: choice.size)
        if is_first():
            logger.log(logging.INFO if kept.fits else logging.WARNING, "micro_batch_size %s", kept)
            write_json(out / CHOSEN, {"trial": trial_id(config)} | asdict(kept))
    report(0, {metric.MICRO_BATCH_SIZE: kept.size})
    return config.with_micro_batch(kept.size)


def kept_choice(config: TrialConfig, out: Path) -> MicroBatch | None:
    """The size that was found when this trial began; None if there is none, or a damaged one."""
    path = out / CHOSEN
    if not path.exists():
        return None
    try:
        content = read_json(path)
    except DamagedError as error:
        set_aside(path, error.why, "a trial that has not ended starts again")
        return None
    is_its_own = content.pop("trial") == trial_id(config)  # else left by another trial
    return MicroBatch(**content) if is_its_own else None


def as_begun(config: TrialConfig, out: Path) -> TrialConfig:
    """The config with the number that was found when its trial began, if there is one."""
    if config.train.micro_batch_size != "auto":
        return config
    kept = kept_choice(config, out)
    return config if kept is None else config.with_micro_batch(kept.size)


def _room_gib(steps: TrialSteps, memory_gib: float | None) -> float:
    """Memory that this worker may use: what the model takes already, and what is free."""
    base = steps.prepared.base
    beside = base.tower if is_gpu(base.device) else base.model  # see `lend_to`
    standing_gib = held_by(steps.model, beside)
    return standing_gib + max(0.0, free_gib(base.device, limit_gib=memory_gib))
