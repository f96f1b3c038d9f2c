"""`train.compile`: the compiled forward pass of a trial, apart from those of earlier trials."""

from typing import Any

import torch
from torch import nn

_last: list[tuple[Any, ...]] = []
"""The form of the model that was compiled last in this process; empty before the first."""


def compiled(model: nn.Module) -> nn.Module:
    """The model with its forward pass compiled on first use.

    torch keeps what it has compiled for each function of the model's code, and runs the function
    uncompiled once it has 8 versions of it, which a sweep of more strategies exceeds. So versions
    for models of another form (other modules, other trained parameters) are dropped.
    """
    form = tuple(
        (name, type(module), *((n, p.shape, p.dtype, p.requires_grad) for n, p in _own(module)))
        for name, module in model.named_modules()
    )
    if _last != [form]:
        torch.compiler.reset()
        _last[:] = [form]
    made: Any = torch.compile(model, dynamic=True)
    result: nn.Module = made
    return result


def _own(module: nn.Module) -> Any:
    return module.named_parameters(recurse=False)
