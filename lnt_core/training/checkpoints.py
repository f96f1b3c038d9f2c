"""Checkpoints of training: written atomically, and complete enough to resume bit for bit."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from lnt_core.seeding import random_states, set_random_states
from lnt_core.strategies.base import Strategy
from lnt_core.strategies.weights import load_trainable, trainable_state

OF_CONFIG = ("initial_lr", "weight_decay")
"""Keys of the optimizer's parameter groups that come from the config, not from a checkpoint."""


@dataclass(frozen=True)
class TrainingState:
    """The objects whose state changes during training."""

    model: nn.Module
    strategy: Strategy  # type: ignore[type-arg]
    optimizer: Optimizer
    schedule: LRScheduler


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at ``path`` is kept."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save_atomically(content: Any, path: Path, *, kept: Path | None = None) -> None:
    """``torch.save`` to a temporary file, which is synced and then renamed to ``path``.

    Args:
        content: Tensors and plain values.
        path: The file to write.
        kept: Where the file that was at ``path`` stays; None: it is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if kept is not None and path.exists():
            _move_or_link(path, kept)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _move_or_link(path: Path, kept: Path) -> None:
    """Give a file a second name, so that it is found under the first until that is replaced."""
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        os.replace(path, kept)


def save_checkpoint(
    path: Path, state: TrainingState, *, step: int, monitor: Any, workers: Sequence[Any] = ()
) -> None:
    """Write the state after ``step`` optimizer steps, and those of the random generators.

    The checkpoint before it is kept at ``previous(path)``, the one before that is deleted first: so
    the disk never holds more than two, and the one being written.

    Args:
        path: File to write.
        state: Model, strategy, optimizer and schedule.
        step: Optimizer steps done.
        monitor: The divergence monitor's attributes, as plain values.
        workers: What each of several workers has of its own, in rank order.
    """
    if path.exists():
        previous(path).unlink(missing_ok=True)
    save_atomically(
        {
            "step": step,
            "model": trainable_state(state.model),
            "strategy": state.strategy.state(state.model),
            "optimizer": state.optimizer.state_dict(),
            "schedule": state.schedule.state_dict(),
            "monitor": monitor,
            "workers": list(workers),
            **random_states(_device(state)),
        },
        path,
        kept=previous(path),
    )


def load_checkpoint(path: Path, state: TrainingState) -> tuple[int, Any]:
    """Restore ``state`` and the random generators in place.

    Returns:
        The number of optimizer steps done, and the divergence monitor's attributes.

    Raises:
        TrialError: The checkpoint has other trained tensors than the model.
    """
    device = _device(state)
    content = torch.load(path, map_location=device, weights_only=True)
    load_trainable(state.model, content["model"], where=str(path))
    state.strategy.load_state(state.model, content["strategy"])
    own = [{key: group[key] for key in OF_CONFIG} for group in state.optimizer.param_groups]
    state.optimizer.load_state_dict(content["optimizer"])
    state.schedule.load_state_dict(content["schedule"])
    _keep_config(state, own)
    set_random_states(content, device)
    return content["step"], content["monitor"]


def _device(state: TrainingState) -> torch.device:
    return next(state.model.parameters()).device


def step_of(path: Path) -> int:
    """Number of optimizer steps done in a checkpoint, without reading its tensors."""
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return int(content["step"])


def _keep_config(state: TrainingState, own: list[dict[str, float]]) -> None:
    """Set learning rate and weight decay at the checkpoint's step from the config.

    They differ from the checkpoint's if that was copied from another trial (`started_from`). A
    trial that resumes from its own checkpoint gets exactly the same values.

    Args:
        state: As loaded from the checkpoint; changed in place.
        own: For each parameter group, the config's values of ``OF_CONFIG``.
    """
    schedule = state.schedule
    assert isinstance(schedule, LambdaLR)
    schedule.base_lrs = [kept["initial_lr"] for kept in own]
    rates = [
        base * factor(schedule.last_epoch)
        for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
    ]
    for group, kept, rate in zip(state.optimizer.param_groups, own, rates, strict=True):
        group.update(kept, lr=rate)
    schedule._last_lr = list(rates)
