"""Keeps the residual stream of a bfloat16 model in bfloat16, whichever of its parts are trained."""

from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.models.roles import Roles


def keep_in_bf16(model: nn.Module, roles: Roles) -> None:
    """Let the language model and its blocks compute on bfloat16, if that is the model's precision.

    Trained parameters are float32. Without this, a trained embedding would make the residual stream
    and the cache of keys and values float32, so that strategies that train it could not be compared
    with others.

    Args:
        model: A model with the weights of the frozen base, in their precision.
        roles: The roles of its parts.
    """
    if next(model.get_submodule(roles.blocks[0]).parameters()).dtype != torch.bfloat16:
        return
    for name in (roles.language, *roles.blocks):
        model.get_submodule(name).register_forward_pre_hook(_cast_inputs, with_kwargs=True)


def _cast_inputs(
    _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_cast, args)), {
        name: _cast(value) if name in ("inputs_embeds", "hidden_states") else value
        for name, value in kwargs.items()
    }


def _cast(value: Any) -> Any:
    is_float32 = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.to(torch.bfloat16) if is_float32 else value
