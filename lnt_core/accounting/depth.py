"""Predicts the costs of a deep model from runs of two shallow ones.

Equal blocks add equal amounts of memory and FLOPs. A 7B model has 32 equal blocks; running 2 of
them and then 3 gives the amounts of all 32, to the byte.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from lnt_core.accounting.ledger import fake_twin
from lnt_core.distributed.sharded import shape_of
from lnt_core.models.roles import Roles, parameters_of
from lnt_core.strategies.base import base_of

SHALLOW = (2, 3)
"""Numbers of blocks of the two models; with 2 or more, the first block is not the last."""


def at_full_depth(
    model: nn.Module, roles: Roles, measure: Callable[[nn.Module], list[int]]
) -> list[int]:
    """What ``measure`` would return for the whole model; call it under a ``FakeTensorMode``.

    What it measures lacks :func:`tower_blocks`, which take part in no step.

    Models whose blocks differ, or with PEFT's prompt learning, are measured at full depth.

    Args:
        model: Tuned or not, on any device; not changed.
        roles: Roles of the base model.
        measure: Returns amounts of a model of fake tensors. Each must be linear in the number of
            blocks; a peak is linear if it occurs at the same moment of the step at any depth.
    """
    blocks, depth = [base_of(model).get_submodule(name) for name in roles.blocks], len(roles.blocks)
    few, more = SHALLOW
    differ = any(_form(block) != _form(blocks[0]) for block in blocks[1:])
    unused = tower_blocks(model, roles)
    if depth <= more or differ or _has_prefix(model):
        return measure(fake_twin(model, without=unused))
    of_few, of_more = (
        measure(_cut(fake_twin(model, without=[*blocks[kept:], *unused]), roles, kept))
        for kept in SHALLOW
    )
    return [
        large + (depth - more) * (large - small) // (more - few)
        for small, large in zip(of_few, of_more, strict=True)
    ]


def tower_blocks(model: nn.Module, roles: Roles) -> list[nn.Module]:
    """The blocks of the vision tower, unless they hold what trains or is the connector's."""
    if roles.vision is None:
        return []
    base = base_of(model)
    used = {id(weight) for weight in parameters_of(base, roles.connector).values()}
    found: list[nn.Module] = []
    for blocks in base.get_submodule(roles.vision).modules():
        weights = list(blocks.parameters())
        if isinstance(blocks, nn.ModuleList) and not any(
            weight.requires_grad or id(weight) in used for weight in weights
        ):
            inner = {id(module) for block in found for module in block.modules()}
            found += [] if id(blocks) in inner else list(blocks)
    return found


def _has_prefix(model: nn.Module) -> bool:
    """Whether PEFT's prompt learning is used.

    A prefix is one tensor for all blocks, so that they do not add equal amounts.
    """
    config = getattr(model, "active_peft_config", None)
    return config is not None and config.is_prompt_learning


def _cut(twin: nn.Module, roles: Roles, kept: int) -> nn.Module:
    """Delete the placeholders of all blocks after the first ``kept``, in place."""
    blocks = base_of(twin).get_submodule(roles.blocks[0].rpartition(".")[0])
    assert isinstance(blocks, nn.ModuleList)
    del blocks[kept:]
    return twin


def _form(block: nn.Module) -> list[tuple[Any, ...]]:
    """Everything that a block's costs depend on: its modules, their settings and tensors."""
    return [
        (name, type(module), _settings(module), _tensors(module))
        for name, module in block.named_modules()
    ]


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """The module's plain attributes, except the block's index, in which blocks always differ."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and not name.endswith(("idx", "id", "index"))
    ]


def _tensors(module: nn.Module) -> list[tuple[Any, ...]]:
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return [(name, shape_of(t), t.dtype, t.requires_grad) for name, t in own]
