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


def image_tokens(vision: "PretrainedConfig", image_processor: Any = None) -> int:
    """The number of tokens of one image, which are those of its patches.

    Args:
        vision: Config of the vision tower.
        image_processor: What prepares images for it, and may give them another size than that of
            the config, as DINOv2's does. Default: none, images have the size of the config.

    Raises:
        ConfigError: The config of the vision tower does not say, or the number would vary.
    """
    given = None if image_processor is None else _size_given(image_processor)
    try:
        height, width = given or (vision.image_size, vision.image_size)
        return int(height // vision.patch_size) * int(width // vision.patch_size)
    except (AttributeError, TypeError, ZeroDivisionError):
        raise ConfigError(
            f"model: the config of the vision tower, {type(vision).__name__}, must have a whole "
            "number as `image_size` and as `patch_size`"
        ) from None


def _size_given(image_processor: Any) -> tuple[int, int]:
    """Height and width, in pixels, that an image processor gives to every image."""
    from PIL import Image

    wide, high = (Image.new("RGB", size) for size in ((96, 64), (64, 96)))
    shapes = {
        tuple(image_processor([image], return_tensors="pt")["pixel_values"].shape)
        for image in (wide, high)
    }
    shape, *others = shapes
    if others or len(shape) != 4:
        gives = "a number of patches" if len(shape) != 4 else "a size"
        raise ConfigError(
            f"model.vision_tower: its image processor, {type(image_processor).__name__}, gives "
            f"each image {gives} of its own, but here every image has the same number of tokens; "
            "choose a tower of a fixed resolution, such as google/siglip2-base-patch16-224 in "
            "place of a NaFlex one"
        )
    return shape[-2], shape[-1]
