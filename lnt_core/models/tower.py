"""What a vision tower gives: the number of tokens of an image, and those that come before them."""

from typing import TYPE_CHECKING, Any

from torch import nn

from lnt_core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def vision_config(config: "PretrainedConfig") -> "PretrainedConfig":
    """Config of the vision tower; that of a CLIP checkpoint contains it."""
    return getattr(config, "vision_config", config)


def first_tokens(tower: nn.Module) -> int:
    """The number of tokens before those of the image's patches: class and registers."""
    tower = getattr(tower, "vision_model", tower)
    embeddings: Any = tower.embeddings
    if hasattr(embeddings, "class_embedding"):  # CLIP; SigLIP has none
        return 1
    config: Any = tower.config
    is_dino = hasattr(embeddings, "cls_token")
    return 1 + getattr(config, "num_register_tokens", 0) if is_dino else 0


def image_tokens(vision: "PretrainedConfig") -> int:
    """The number of tokens of one image.

    Raises:
        ConfigError: The config of the vision tower does not say.
    """
    try:
        return int(vision.image_size // vision.patch_size) ** 2
    except (AttributeError, TypeError, ZeroDivisionError):
        raise ConfigError(
            f"model: the config of the vision tower, {type(vision).__name__}, must have a whole "
            "number as `image_size` and as `patch_size`"
        ) from None
