"""Refuses checkpoints of architectures that lnt cannot tune, before any weight is read."""

from typing import Any

from torch import nn

from lnt_core.errors import ConfigError
from lnt_core.models.roles import attention_of, find_roles, is_norm

TOWER_INPUTS = ("pixel_values", "pixel_values_videos", "input_features", "input_values")
"""What transformers' towers of images, videos and audio take."""


def check_supported(model: Any) -> None:
    """Check the model of a whole checkpoint.

    Args:
        model: A transformers model, which may be on the meta device.

    Raises:
        ConfigError: Its architecture is not supported; names it and says why.
    """
    roles = find_roles(model)
    if roles.vision is None:
        raise _refused(model, "it has no vision tower")
    if not hasattr(getattr(model, "base_model", model), "get_image_features"):
        raise _refused(
            model,
            "images do not enter its text as tokens (no `get_image_features`), but through "
            "cross-attention or in another way of its own",
        )
    if model.config.get_text_config().is_encoder_decoder:
        raise _refused(model, "its language model is an encoder with a decoder")
    modules = dict(model.named_modules())
    for name in roles.connector:
        if getattr(modules.get(name), "main_input_name", None) in TOWER_INPUTS:
            raise _refused(model, f"it has a tower besides that of images, {name}")
    for name in roles.blocks:
        block = model.get_submodule(name)
        if attention_of(block) is None:
            parts = ", ".join(f"{own} ({type(m).__name__})" for own, m in block.named_children())
            raise _refused(
                model,
                f"{name} has no attention with linear query and value projections of its own. It "
                f"has {parts}",
            )
        if (raw := _neither_linear_nor_norm(block)) is not None:
            raise _refused(
                model,
                f"{name}.{raw} is a weight of neither a linear layer nor a norm, as in a mixture "
                "of experts: no role would contain it",
            )


def _neither_linear_nor_norm(block: nn.Module) -> str | None:
    """The name of a block's first weight that belongs to neither a linear layer nor a norm."""
    known = {
        id(parameter)
        for module in block.modules()
        if isinstance(module, nn.Linear) or is_norm(module)
        for parameter in module.parameters(recurse=False)
    }
    return next((n for n, p in block.named_parameters() if id(p) not in known), None)


def _refused(model: nn.Module, why: str) -> ConfigError:
    return ConfigError(
        f"model.checkpoint: {type(model).__name__} is not an architecture that lnt can tune: {why}"
    )
