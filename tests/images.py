"""Image features as a composed model takes them."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from lnt_core.data.images import open_rgb
from lnt_core.models.vlm import VisionLanguageModel


def features(base: VisionLanguageModel, paths: Sequence[Path]) -> Tensor:
    """The tower's features of images, of shape (images, tokens, channels)."""
    inputs = base.image_inputs([[open_rgb(path)] for path in paths])
    pixels: Tensor = base.joined(inputs)["pixel_values"]
    return pixels
