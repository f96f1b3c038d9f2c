"""Finds settings with which a training step fits the GPU's memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig

NUM_GPUS = (2, 4, 8)
ZERO_STAGES = (1, 2, 3)


@dataclass(frozen=True)
class Fit:
    """Settings to change so that a step fits; all None if nothing that was tried fits."""

    micro_batch_size: int | None = None
    zero_stage: int | None = None
    num_gpus: int | None = None
    peak_gib: float | None = None
    """Predicted peak on each GPU with these settings."""

    def __str__(self) -> str:
        if self.micro_batch_size is None:
            return f"nothing tried fits, not even ZeRO stage 3 on {NUM_GPUS[-1]} GPUs"
        change = f"micro_batch_size {self.micro_batch_size}"
        if self.zero_stage is not None:
            change += f" with ZeRO stage {self.zero_stage} on {self.num_gpus} GPUs"
        return f"{change} would ({self.peak_gib:.1f} GiB)"


def what_would_fit(
    predict: Callable[[int], StepCost], train: TrainConfig, *, memory_gib: float
) -> Fit:
    """The largest micro-batch that fits one GPU, or else the fewest GPUs that suffice under ZeRO.

    Args:
        predict: Returns the cost of a step at a micro-batch size.
        train: The training config, whose micro-batch does not fit.
        memory_gib: Memory of one GPU.

    Source:
        Rajbhandari et al., ZeRO, arXiv:1910.02054: stage 1 shards the optimizer state over the
        GPUs, stage 2 the gradients as well, stage 3 the weights as well.
    """
    sizes = [m for m in range(1, train.micro_batch) if train.batch_size % m == 0]
    size, cost = largest_that_fits(predict, sizes or [1], memory_gib=memory_gib)
    if cost.peak_gib <= memory_gib:
        return Fit(micro_batch_size=size, peak_gib=cost.peak_gib)
    for num_gpus in NUM_GPUS:
        for stage in ZERO_STAGES:
            peak = sharded_gib(cost, stage=stage, num_gpus=num_gpus)
            if peak <= memory_gib:
                return Fit(1, stage, num_gpus, peak)
    return Fit()


def largest_that_fits(
    predict: Callable[[int], StepCost], sizes: Sequence[int], *, memory_gib: float
) -> tuple[int, StepCost]:
    """The largest micro-batch size that fits, with its cost; if none fits, the smallest.

    The peak increases with the size, with one possible exception: the whole batch may need less
    than a part of it, because without gradient accumulation no gradients are held during the
    forward pass. So the largest size is tried first, and the others by bisection.

    Args:
        predict: Returns the cost of a step at a micro-batch size.
        sizes: At least one size, in increasing order.
        memory_gib: Memory limit.
    """
    low, high = 0, len(sizes) - 1
    last = predict(sizes[high])
    if last.peak_gib <= memory_gib or high == 0:
        return sizes[high], last
    best = predict(sizes[low])
    if best.peak_gib > memory_gib:
        return sizes[low], best
    while high - low > 1:
        middle = (low + high) // 2
        cost = predict(sizes[middle])
        if cost.peak_gib <= memory_gib:
            low, best = middle, cost
        else:
            high = middle
    return sizes[low], best


def sharded_gib(cost: StepCost, *, stage: int, num_gpus: int) -> float:
    """Peak GiB on each GPU under ZeRO, without DeepSpeed's own buffers."""
    return sharded(cost, stage=stage, num_gpus=num_gpus).peak_gib


def sharded(cost: StepCost, *, stage: int, num_gpus: int) -> StepCost:
    """The cost of a step on each GPU under ZeRO; stage 0 shards nothing.

    DeepSpeed keeps the trained weights twice, in the model and a part of them in the optimizer,
    although both are float32 here. Stage 3 has no originals: it trains the base itself. The vision
    tower, which runs once per image, is whole on each GPU.
    """

    def part(gib: float, from_stage: int) -> float:
        return gib / num_gpus if stage >= from_stage else gib

    masters_gib = cost.gradients_gib if stage else 0.0  # as large as the gradients
    originals_gib = cost.originals_gib if stage < 3 else 0.0
    left_out_gib = cost.originals_gib - originals_gib
    aside_gib = left_out_gib + cost.tower_gib
    return replace(
        cost,
        optimizer_gib=part(cost.optimizer_gib + masters_gib, 1),
        gradients_gib=part(cost.gradients_gib, 2),
        weights_gib=part(cost.weights_gib - aside_gib, 3) + cost.tower_gib,
        frozen_gib=part(cost.frozen_gib - aside_gib, 3) + cost.tower_gib,
        originals_gib=originals_gib,
    )
