"""A cache of what the frozen vision tower makes of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lnt_core.data.images import open_rgb
from lnt_core.models.images import ImageInputs
from lnt_core.models.vlm import VisionLanguageModel

Paths = tuple[Path, ...]
"""The image files of one conversation."""


class FeatureStore:
    """The frozen vision tower's output, computed once per conversation's images and kept in memory.

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
        self.exif_orientation = exif_orientation
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[Paths, ImageInputs] = {}

    @property
    def device(self) -> torch.device:
        """The device of the model, where its inputs go."""
        return self._base.device

    def get(self, groups: Sequence[Paths]) -> dict[str, Any]:
        """What the model's forward pass takes for a batch of conversations, on its device.

        Args:
            groups: The images of each conversation that has any.

        Returns:
            Arguments of the forward pass; none without images.

        Raises:
            DataError: An image cannot be read.
        """
        groups = [group for group in groups if group]
        if not groups:
            return {}
        missing = [group for group in dict.fromkeys(groups) if group not in self._kept]
        fresh = dict(zip(missing, self._computed(missing), strict=True)) if missing else {}
        for group, inputs in fresh.items():
            if self._bytes + inputs.nbytes <= self._max_bytes:
                self._kept[group] = inputs.copy_on_host()
                self._bytes += inputs.nbytes
        rows = [fresh[group] if group in fresh else self._kept[group] for group in groups]
        return self._base.joined([row.to(self.device) for row in rows])

    def _computed(self, groups: list[Paths]) -> list[ImageInputs]:
        return self._base.image_inputs(
            [
                [open_rgb(path, exif_orientation=self.exif_orientation) for path in group]
                for group in groups
            ]
        )
