"""Bottleneck adapters after or beside the attention and the MLP of each block.

Ours, because no maintained library has them for transformers 5, and PEFT 0.21 registers only
methods of its own list. The adapter becomes a child of the module it adapts, so every name of
the base model stays as it is.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lnt_core.distributed.sharded import shape_of

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles

CHILD = "bottleneck_adapter"


class Bottleneck(nn.Module):
    """``scale * up(relu(down(x)))``, which is zero until ``up`` has moved."""

    def __init__(self, hidden_size: int, width: int, scale: float) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, width)
        self.up = nn.Linear(width, hidden_size)
        self.scale = scale
        nn.init.normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., hidden_size) to the same shape."""
        update: Tensor = self.scale * self.up(torch.relu(self.down(hidden)))
        return update


def attach(
    model: nn.Module, roles: "Roles", *, width: int, scale: float, places: str, parallel: bool
) -> None:
    """Give each adapted module its adapter.

    Args:
        model: Changed in place; its own weights stay as they are.
        roles: Of ``model``.
        width: Channels of the bottleneck.
        scale: Factor of the adapter's output.
        places: ``attention``, ``mlp`` or ``attention_mlp``: what in each block gets an adapter.
        parallel: Beside the module, on its input; else behind it, on its output.

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
    """Serial: h = f(x), then h + adapter(h)."""
    hidden = output[0] if isinstance(output, tuple) else output
    return _plus(output, getattr(module, CHILD)(hidden))


def _beside(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
    """Parallel: f(x) + adapter(x)."""
    hidden = args[0] if args else kwargs["hidden_states"]
    return _plus(output, getattr(module, CHILD)(hidden))


def _plus(output: Any, update: Tensor) -> Any:
    if isinstance(output, tuple):
        return (output[0] + update, *output[1:])
    return output + update
