"""Variance of each block's gradients in the first steps of training."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from lnt_core.distributed.ranks import is_first
from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import in_base

FIRST_STEPS = 10
"""Number of steps that are measured."""


Measured = dict[str, dict[str, list[float | None]]]
"""By step and group: the variance of each block's gradients, None for a block without any."""


class GradientVariance:
    """Measures the variance of gradients; to be called after the backward pass, before clipping.

    Measurements are saved after each step, so that a resumed trial has those of all steps.

    Args:
        model: The tuned model.
        roles: Roles of the base model.
        file: File of the measurements.

    Source:
        Zhao et al., arXiv:2312.11420, section 5: LayerNorm tuning has the smaller variance. The
        paper measures gradients of the norms; here they are measured both for all trained
        parameters of a block and for its norms alone.
    """

    def __init__(self, model: nn.Module, roles: Roles, file: Path) -> None:
        self._file = file
        self._seen: Measured = _measured(file)
        self._groups = {"all": _by_block(model, roles, norms_only=False)}
        self._groups["norms"] = _by_block(model, roles, norms_only=True)

    def __call__(self, step: int, gradient: Callable[[nn.Parameter], Tensor | None]) -> None:
        """Measure the gradients of one step; ``gradient`` returns that of a parameter."""
        if step > FIRST_STEPS:
            return
        self._seen[str(step)] = {
            group: [_variance(parameters, gradient) for parameters in blocks]
            for group, blocks in self._groups.items()
        }
        if not is_first():
            return
        write_json(self._file, self._seen)

    def by_block(self, group: str) -> list[float | None]:
        """Mean variance over the first steps for each block; None for one without gradients.

        Args:
            group: ``all`` or ``norms``.
        """
        steps = [seen[group] for seen in self._seen.values()]
        return [
            None if None in values else sum(values) / len(values)
            for values in zip(*steps, strict=True)
        ]


def measured_steps(file: Path) -> float:
    """Up to which step nothing is missing in a file of measurements; infinity if it is complete."""
    seen, step = _measured(file), 0
    while str(step + 1) in seen:
        step += 1
    return step if step < FIRST_STEPS else math.inf


def _measured(file: Path) -> Measured:
    try:
        return read_json(file) if file.exists() else {}
    except DamagedError as error:
        set_aside(file, error.why, "the first steps are trained again")
        return {}


def _by_block(model: nn.Module, roles: Roles, *, norms_only: bool) -> list[list[nn.Parameter]]:
    """The trainable parameters of each block."""
    blocks: list[list[nn.Parameter]] = [[] for _ in roles.blocks]
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = in_base(name)
        if norms_only and plain.rpartition(".")[0] not in roles.norm:
            continue
        for index, block in enumerate(roles.blocks):
            if plain.startswith(f"{block}."):
                blocks[index].append(parameter)
    return blocks


@torch.no_grad()
def _variance(
    parameters: list[nn.Parameter], gradient: Callable[[nn.Parameter], Tensor | None]
) -> float | None:
    """Variance over all elements of all gradients; None if there are no gradients."""
    gradients = [g for p in parameters if (g := gradient(p)) is not None]
    if not gradients:
        return None
    count = sum(g.numel() for g in gradients)
    mean = torch.stack([g.double().sum() for g in gradients]).sum() / count
    squares = torch.stack([(g.double() - mean).square().sum() for g in gradients]).sum()
    return float(squares / count)
