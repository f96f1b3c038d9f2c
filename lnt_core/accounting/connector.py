"""What a connector costs in a training step, on fake tensors."""

import torch
from torch import Tensor, nn

from lnt_core.models.roles import Roles, parameters_of


def feature_channels(base: nn.Module, roles: Roles) -> int:
    """Channels of the features of one image token where the connector takes these; otherwise 0.

    That is so in LLaVA, whether composed or a checkpoint. The connectors of other architectures
    merge patches, pool them or are several.
    """
    from transformers import LlavaForConditionalGeneration

    if not roles.connector or not isinstance(base, LlavaForConditionalGeneration):
        return 0
    connector = base.get_submodule(*roles.connector)
    return next(m.in_features for m in connector.modules() if isinstance(m, nn.Linear))


def connected(
    base: nn.Module, roles: Roles, *, rows: tuple[int, int], channels: int, hidden_size: int
) -> Tensor:
    """What a connector gives the language model; call it under a ``FakeTensorMode``.

    Args:
        base: The model without PEFT's wrapper.
        roles: Roles of the base model.
        rows: Number of conversations, and of image tokens in each.
        channels: As :func:`feature_channels` says. With 0, each of the connector's weights is taken
            to act on one row for each image token, on what the one before it gave, as the weights
            of mergers and projectors do.
        hidden_size: Width of the result.

    Returns:
        (conversations, image tokens, hidden_size)
    """
    if channels:
        connector = base.get_submodule(*roles.connector)
        features = torch.empty(*rows, channels, dtype=next(connector.parameters()).dtype)
        embedded: Tensor = connector(features)
        return embedded
    given: Tensor | None = None
    for name, weight in parameters_of(base, roles.connector).items():
        if ".original_module." in name or name in roles.connector:
            continue  # frozen, beside PEFT's trained copy; or a raw one, which stands between rows
        width = weight.shape[-1] if weight.dim() == 1 else weight[0].numel()
        taken = torch.empty(*rows, width) if given is None else _as_wide(given, width)
        if weight.dim() > 1:
            given = nn.functional.linear(taken, weight.flatten(1).to(taken.dtype))
        else:
            given = taken + weight if name.endswith("bias") else taken * weight
    assert given is not None
    return _as_wide(given, hidden_size)


def _as_wide(given: Tensor, width: int) -> Tensor:
    """A tensor of another width that depends on ``given`` and takes no memory."""
    if given.shape[-1] == width:
        return given
    return given.mean(dim=-1, keepdim=True).expand(*given.shape[:-1], width)
