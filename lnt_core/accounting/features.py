"""What features of an image at the connector's inputs take, predicted without weights."""

from dataclasses import dataclass

from torch import nn

from lnt_core.accounting.connector import feature_channels
from lnt_core.models.roles import Roles, parameters_of


@dataclass(frozen=True)
class FeatureCost:
    """The features of one image."""

    num_bytes: int
    """On disk."""
    flops: float
    """Operations of the tower: twice its weights for each of its tokens, attention left out."""


def predict_features(
    base: nn.Module, roles: Roles, *, image_tokens: int, bytes_per_value: int
) -> FeatureCost | None:
    """The cost of the features of one image.

    Args:
        base: The model without PEFT's wrapper; may be without weights.
        roles: Its roles.
        image_tokens: Tokens of an image.
        bytes_per_value: Bytes of a number, as in the frozen weights.

    Returns:
        None for models whose connector does not take one row of features for each image token.
    """
    channels = feature_channels(base, roles)
    if not channels:
        return None
    weights = sum(p.numel() for p in parameters_of(base, roles.require("vision")).values())
    return FeatureCost(image_tokens * channels * bytes_per_value, 2.0 * weights * image_tokens)
