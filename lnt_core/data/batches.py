"""Which sample comes at which step, and samples to padded tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.seeding import generator


@dataclass(frozen=True)
class Batch:
    """One micro-batch of B conversations, padded on the right to T tokens."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor  # (B, T)
    labels: Tensor  # (B, T)
    features: Tensor | None  # (images, tokens, channels); None if no sample has an image


class FeatureStore:
    """The frozen vision tower's output, computed once per image and kept in memory."""

    def __init__(self, base: VisionLanguageModel, *, max_bytes: int) -> None:
        self._base = base
        self._max_bytes = max_bytes
        self._bytes = 0
        self._features: dict[Path, Tensor] = {}

    def get(self, paths: Sequence[Path]) -> Tensor:
        """Features of shape (images, tokens, channels), on the model's device.

        Beyond ``max_bytes`` further images are computed anew each time they are asked for.
        """
        missing = [path for path in dict.fromkeys(paths) if path not in self._features]
        fresh = (
            dict(zip(missing, self._base.image_features(missing), strict=True)) if missing else {}
        )
        for path, features in fresh.items():
            size = features.numel() * features.element_size()
            if self._bytes + size <= self._max_bytes:
                self._features[path] = features.cpu().clone()  # not a view of the whole batch
                self._bytes += size
        rows = [fresh[path] if path in fresh else self._features[path] for path in paths]
        device = self._base.device
        return torch.stack([row.to(device, non_blocking=True) for row in rows])


def sample_order(num_samples: int, *, seed: int) -> Iterator[int]:
    """An endless stream of sample indices: permutation after permutation, each drawn anew."""
    epoch = 0
    while True:
        yield from torch.randperm(num_samples, generator=generator("order", seed, epoch)).tolist()
        epoch += 1


def num_steps(
    num_samples: int, *, batch_size: int, epochs: float | None, max_steps: int | None
) -> int:
    """Optimiser steps of a stage. A last batch that ``epochs`` does not fill is left out.

    Example:
        >>> num_steps(1000, batch_size=128, epochs=2, max_steps=None)
        15
    """
    if max_steps is not None:
        return max_steps
    return max(1, int((epochs or 1) * num_samples / batch_size))


def collate(samples: Sequence[Encoded], *, pad_id: int, store: FeatureStore) -> Batch:
    """Pad conversations to the longest of them, with the features of their images."""
    length = max(len(sample.input_ids) for sample in samples)
    input_ids = torch.full((len(samples), length), pad_id)
    labels = torch.full((len(samples), length), IGNORE)
    mask = torch.zeros((len(samples), length), dtype=torch.long)
    for row, sample in enumerate(samples):
        width = len(sample.input_ids)
        input_ids[row, :width] = torch.tensor(sample.input_ids)
        labels[row, :width] = torch.tensor(sample.labels)
        mask[row, :width] = 1
    images = [sample.image for sample in samples if sample.image is not None]
    return Batch(input_ids, mask, labels, store.get(images) if images else None)
