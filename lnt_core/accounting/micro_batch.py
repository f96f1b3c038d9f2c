"""`micro_batch_size: auto`: the largest whose predicted step fits; a trial keeps its number."""

import json
import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lnt_core import metrics as metric
from lnt_core.accounting.fit import largest_that_fits
from lnt_core.accounting.measured import free_gib, held_by
from lnt_core.accounting.predicted import StepCost
from lnt_core.accounting.trial_costs import TrialSteps
from lnt_core.config import TrainConfig, TrialConfig
from lnt_core.distributed.ranks import gather, is_first, num_workers
from lnt_core.identity import trial_id
from lnt_core.training.loop import Report

logger = logging.getLogger(__name__)

SAFE_SHARE = 0.9  # assumed: predictions of a process on a CPU erred by less than 5 % (docs/LOG.md)
"""Of a trial's memory may be filled by prediction. The rest is for what a prediction has not: the
allocator's fragments, the libraries' own workspaces, DeepSpeed's buffers."""
CHOSEN = "micro_batch.json"
"""In a trial's folder: what was found for it."""


@dataclass(frozen=True)
class MicroBatch:
    """What was found in place of `auto`, and why."""

    size: int
    """Samples of one forward and backward pass."""
    peak_gib: float
    """Predicted of a step, of each worker."""
    limit_gib: float
    """``SAFE_SHARE`` of the memory that a worker may take."""

    @property
    def fits(self) -> bool:
        """False if not even one sample does; the trial is run all the same."""
        return self.peak_gib <= self.limit_gib

    def __str__(self) -> str:
        """What the log, the folder's reader and MLflow are told."""
        found = f"{self.size}, found automatically: a predicted peak of {self.peak_gib:.4g} GiB"
        limit = f"{self.limit_gib:.4g} GiB ({SAFE_SHARE:.0%} of the memory for it)"
        if self.fits:
            return f"{found} is within {limit}"
        return f"{found} is over {limit}, so it may run out; nothing smaller can be tried"


def choose(
    predict: Callable[[int], StepCost], train: TrainConfig, *, room_gib: float, workers: int = 1
) -> MicroBatch:
    """The largest divisor of the batch whose predicted step fits.

    Args:
        predict: The cost of a worker's step at a micro batch.
        train: Its batch is divided; more than a worker's share of it makes no sense.
        room_gib: All that a worker may take of its GPU or host, the model's weights included.
        workers: So many share the batch.
    """
    share = math.ceil(train.batch_size / workers)
    sizes = [size for size in range(1, share + 1) if train.batch_size % size == 0]
    limit_gib = SAFE_SHARE * room_gib
    size, cost = largest_that_fits(predict, sizes, memory_gib=limit_gib)
    return MicroBatch(size, cost.peak_gib, limit_gib)


def settle(
    config: TrialConfig, steps: TrialSteps, out: Path, *, report: Report, memory_gib: float | None
) -> TrialConfig:
    """The config with a number in place of `auto`; as it is if it has one.

    A trial that goes on is given the number that it began with, whatever is free now: with another
    the losses would be rounded otherwise. Workers agree on the smallest; each must call this.

    Args:
        config: Of the trial.
        steps: Of its model, which stands on its device.
        out: The trial's folder, where the number is kept.
        report: Told of it, as of step 0.
        memory_gib: All that this process may take, where the caller knows of a limit.
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
            _keep(kept, config, out)
    report(0, {metric.MICRO_BATCH_SIZE: kept.size})
    return config.with_micro_batch(kept.size)


def kept_choice(config: TrialConfig, out: Path) -> MicroBatch | None:
    """What was found for this very trial when it began; None if nothing was."""
    path = out / CHOSEN
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    is_its_own = content.pop("trial") == trial_id(config)  # a folder may be used again
    return MicroBatch(**content) if is_its_own else None


def as_begun(config: TrialConfig, out: Path) -> TrialConfig:
    """The config with the number that its trial began with, if one was found for it."""
    if config.train.micro_batch_size != "auto":
        return config
    kept = kept_choice(config, out)
    return config if kept is None else config.with_micro_batch(kept.size)


def _room_gib(steps: TrialSteps, memory_gib: float | None) -> float:
    """What the model takes already, and what is free beside it."""
    base = steps.prepared.base
    standing_gib = held_by(steps.model, base.tower)
    return standing_gib + max(0.0, free_gib(base.device, limit_gib=memory_gib))


def _keep(choice: MicroBatch, config: TrialConfig, out: Path) -> None:
    """Write it, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    draft = out / f".{CHOSEN}"
    content = {"trial": trial_id(config)} | asdict(choice)
    draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(draft, out / CHOSEN)
