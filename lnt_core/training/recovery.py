"""Which checkpoint a trial resumes from: the last one that is whole.

The one before is kept for the case that the last is damaged. A trial of one process has
``checkpoint.pt`` and ``checkpoint.previous.pt``; the workers of one that is sharded have a folder
for each step, in which `COMPLETE` is written last.
"""

import os
import re
import shutil
from pathlib import Path

import torch

from lnt_core.distributed.ranks import gather, is_first
from lnt_core.distributed.sharded import shards
from lnt_core.errors import DamagedError
from lnt_core.files import check_torch, set_aside
from lnt_core.training.checkpoints import previous, step_of

COMPLETE = "complete.pt"
"""In the folder of a step: its step, the number of workers, and names and sizes of all files."""
NEXT = "the trial goes on from the checkpoint before, or from its start"


def settle_checkpoint(path: Path, *, at_most: float) -> int | None:
    """Set aside what the trial cannot resume from; every worker of the trial must call this.

    Args:
        path: Where the checkpoint of a trial of one process is; that of several is beside it.
        at_most: Checkpoints of later steps are of no use, because what the trial wrote beside them
            is not whole up to there.

    Returns:
        The step of the checkpoint that is left and will be loaded; None if there is none.
    """
    step = None
    if is_first():
        step = _settle_shards(path, at_most) if shards(path).is_dir() else _settle(path, at_most)
    return gather(step)[0]


def _settle(path: Path, at_most: float) -> int | None:
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            check_torch(candidate)
        except DamagedError as error:
            set_aside(candidate, error.why, NEXT)
            continue
        step = step_of(candidate)
        if step > at_most:
            set_aside(candidate, _too_late(step, at_most), NEXT)
            continue
        if candidate != path:
            os.replace(candidate, path)
        return step
    return None


def _settle_shards(path: Path, at_most: float) -> int | None:
    for folder in complete_steps(shards(path)):
        step = _number(folder)
        why = _shard_damage(folder) or ("" if step <= at_most else _too_late(step, at_most))
        if not why:
            return step
        set_aside(folder, why, NEXT)
    return None


def _too_late(step: int, at_most: float) -> str:
    return (
        f"it is of step {step}, but the metrics beside it are whole up to step "
        f"{max(0, int(at_most))} only"
    )


def _shard_damage(folder: Path) -> str:
    """What is wrong with a step's folder; empty if it is whole."""
    try:
        check_torch(folder / COMPLETE)
        complete = torch.load(folder / COMPLETE, weights_only=True)
        for name, size in complete["files"].items():
            if not (folder / name).exists() or (folder / name).stat().st_size != size:
                return f"{name} is missing or has another size"
            if name.endswith(".pt"):
                check_torch(folder / name, weights_only=False)  # as DeepSpeed reads its own
    except DamagedError as error:
        return f"{error.path.name}: {error.why}"
    return ""


def complete_steps(folder: Path) -> list[Path]:
    """The folders of steps that all workers have written, the last step first."""
    return [step for step in _steps(folder) if (step / COMPLETE).exists()]


def forget_steps(folder: Path, *, keep: int) -> None:
    """Delete the folders of steps except the last complete ones."""
    kept = complete_steps(folder)[:keep]
    for step in _steps(folder):
        if step not in kept:
            shutil.rmtree(step)


def forget_checkpoints(path: Path) -> None:
    """Delete all checkpoints of a trial that has ended, those that were set aside too."""
    shutil.rmtree(shards(path), ignore_errors=True)
    for file in path.parent.glob(f"{path.stem}.*"):
        file.unlink(missing_ok=True)


def is_kept(path: Path) -> bool:
    """Whether there is a checkpoint that a trial may resume from."""
    return path.exists() or previous(path).exists() or shards(path).is_dir()


def _steps(folder: Path) -> list[Path]:
    found = [step for step in folder.glob("step-*") if re.fullmatch(r"step-\d+", step.name)]
    return sorted(found, key=_number, reverse=True)


def _number(step: Path) -> int:
    return int(step.name.removeprefix("step-"))
