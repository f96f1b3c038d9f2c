"""What a deep model takes, from two shallow ones: equal blocks add equal amounts.

A 7B has 32 equal blocks, and running 5 of them tells what 32 take, to the byte.
"""

from collections.abc import Callable
from typing import Any

from torch import nn

from lnt_core.accounting.ledger import fake_twin
from lnt_core.distributed.sharded import shape_of
from lnt_core.models.roles import Roles

SHALLOW = (2, 3)
"""Blocks of the two: so many that each has a first block and a last one."""


def at_full_depth(
    model: nn.Module, roles: Roles, measure: Callable[[nn.Module], list[int]]
) -> list[int]:
    """Amounts of a whole model; for under a ``FakeTensorMode``.

    Args:
        model: Tuned or not, on any device; nothing of it changes.
        roles: Of the base model.
        measure: Amounts of a twin without content. Each must be linear in the number of blocks:
            a peak, so far as one and the same moment of the step has it at any depth.
    """
    blocks, depth = [base_of(model).get_submodule(name) for name in roles.blocks], len(roles.blocks)
    few, more = SHALLOW
    differ = any(_form(block) != _form(blocks[0]) for block in blocks[1:])
    if depth <= more or differ or _has_prefix(model):
        return measure(fake_twin(model))
    of_few, of_more = (
        measure(_cut(fake_twin(model, without=blocks[kept:]), roles, kept)) for kept in SHALLOW
    )
    return [
        large + (depth - more) * (large - small) // (more - few)
        for small, large in zip(of_few, of_more, strict=True)
    ]


def base_of(model: nn.Module) -> nn.Module:
    """The model that roles name the parts of: PEFT's wrapper has it inside."""
    base: nn.Module = getattr(model, "get_base_model", lambda: model)()
    return base


def _has_prefix(model: nn.Module) -> bool:
    """PEFT's prefix is one tensor for all blocks, and so what each adds depends on the others."""
    config = getattr(model, "active_peft_config", None)
    return config is not None and config.is_prompt_learning


def _cut(twin: nn.Module, roles: Roles, kept: int) -> nn.Module:
    """The twin without what stands in place of its other blocks."""
    blocks = base_of(twin).get_submodule(roles.blocks[0].rpartition(".")[0])
    assert isinstance(blocks, nn.ModuleList)
    del blocks[kept:]
    return twin


def _form(block: nn.Module) -> list[tuple[Any, ...]]:
    """All that what a block takes depends on: its modules, their settings and their tensors."""
    return [
        (name, type(module), _settings(module), _tensors(module))
        for name, module in block.named_modules()
    ]


def _settings(module: nn.Module) -> list[tuple[str, Any]]:
    """Its plain attributes but its number, which is another in each block."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and not name.endswith(("idx", "id", "index"))
    ]


def _tensors(module: nn.Module) -> list[tuple[Any, ...]]:
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return [(name, shape_of(t), t.dtype, t.requires_grad) for name, t in own]
