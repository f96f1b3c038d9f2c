"""What a trial finds for `auto`: once, on its device, for all its workers, kept in its folder."""

import logging
from dataclasses import asdict, fields, replace
from pathlib import Path

from lnt_core import metrics as metric
from lnt_core.accounting.auto import MicroBatch, choose
from lnt_core.accounting.predicted import StepCost
from lnt_core.accounting.trial_costs import TrialSteps
from lnt_core.config import TrialConfig
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.memory import free_gib, held_by
from lnt_core.distributed.ranks import gather, is_first, num_workers
from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json
from lnt_core.identity import trial_id
from lnt_core.training.loop import Report

logger = logging.getLogger(__name__)

CHOSEN = "micro_batch.json"
"""File in a trial's folder with what was found for it."""


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
