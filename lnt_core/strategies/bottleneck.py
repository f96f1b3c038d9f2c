"""Bottleneck adapters after or beside the attention and the MLP of each block.

Implemented here because no maintained library has them for transformers 5, and PEFT 0.21 accepts
only the methods of its own enumeration. An adapter becomes a child of the module that it adapts,
so all names of the base model stay the same.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lnt_core.distributed.sharded import shape_of

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles

CHILD = "bottleneck_adapter"
"""Name of the adapter within the module that it adapts."""


class Bottleneck(nn.Module):
    """``scale * up(relu(down(x)))``; its output is zero at first, since ``up`` starts at zero."""

    def __init__(self, hidden_size: int, width: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, width)
        self.up = nn.Linear(width, hidden_size)
        self.scale = scale
        nn.init.normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (..., hidden_size) to the same shape."""
        update: Tensor = self.scale * self.up(torch.relu(self.down(hidden)))
        return update


def attach(
    model: nn.Module, roles: "Roles", *, width: int, scale: float, places: str, parallel: bool
) -> None:
    """Add an adapter to the attention, the MLP, or both, of each block.

    Args:
        model: Changed in place; its own weights stay the same.
        roles: Names of the model's parts.
        width: Channels of the bottleneck.
        scale: Factor of the adapter's output.
        places: Which modules get an adapter: ``attention``, ``mlp`` or ``attention_mlp``.
        parallel: Apply the adapter to the module's input instead of its output.

    Raises:
        ConfigError: The blocks have no such module.
    """
    known = {"attention": ("attention",), "mlp": ("feedforward",)}
    wanted = known.get(places, ("attention", "feedforward"))
    hidden_size = shape_of(model.get_parameter(f"{roles.embedding}.weight"))[1]
    for name in roles.require(*wanted):
        module = model.get_submodule(name)
        adapter = Bottleneck(hidden_size, width, scale)
        module.add_module(CHILD, adapter.to(next(module.parameters()).device))
        module.register_forward_hook(_beside if parallel else _after, with_kwargs=True)


def _after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    """Forward hook of a serial adapter: h = f(x), then h + adapter(h)."""
    hidden = output[0] if isinstance(output, tuple) else output
    return _plus(output, getattr(module, CHILD)(hidden))


def _beside(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    """Forward hook of a parallel adapter: f(x) + adapter(x)."""
    hidden = args[0] if args else kwargs["hidden_states"]
    return _plus(output, getattr(module, CHILD)(hidden))


def _plus(output: Any, update: Tensor) -> Any:
    """Add ``update`` to a module's output, or to the first item of a tuple."""
    if isinstance(output, tuple):
        return (output[0] + update, *output[1:])
    return output + update
