"""`auto` in a training config: the micro-batch size and checkpointing with which a step fits."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lnt_core.accounting.fit import largest_that_fits
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig

SAFE_SHARE = 0.9  # assumed; predictions for a process on a CPU erred by under 5 % (docs/LOG.md)
"""Share of a worker's memory that the predicted peak may fill. The rest is for what predictions do
not include: fragmentation of the allocator, workspaces of libraries, DeepSpeed's buffers."""
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
