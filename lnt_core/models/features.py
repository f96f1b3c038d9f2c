"""A cache of the frozen vision tower's features."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lnt_core.models.vlm import VisionLanguageModel


class FeatureStore:
    """The frozen vision tower's output, computed once per image and kept in memory.

    Args:
        base: The model whose tower computes the features.
        max_bytes: Memory limit of kept features; images beyond it are recomputed on every use.
        exif_orientation: Whether images are turned upright; the same for all images of a store, so
            that it never mixes the two.
    """

    def __init__(
        self, base: VisionLanguageModel, *, max_bytes: int, exif_orientation: bool = True
    ) -> None:
        self._base = base
        self._exif_orientation = exif_orientation
        self._max_bytes = max_bytes
        self._bytes = 0
        self._features: dict[Path, Tensor] = {}

    def get(self, paths: Sequence[Path]) -> Tensor:
        """Features of shape (images, tokens, channels), on the model's device."""
        missing = [path for path in dict.fromkeys(paths) if path not in self._features]
        fresh = dict(zip(missing, self._computed(missing), strict=True)) if missing else {}
        for path, features in fresh.items():
            size = features.numel() * features.element_size()
            if self._bytes + size <= self._max_bytes:
                self._features[path] = features.cpu().clone()  # not a view of the whole batch
                self._bytes += size
        rows = [fresh[path] if path in fresh else self._features[path] for path in paths]
        device = self._base.device
        return torch.stack([row.to(device, non_blocking=True) for row in rows])

    def _computed(self, paths: list[Path]) -> Tensor:
        return self._base.image_features(paths, exif_orientation=self._exif_orientation)
