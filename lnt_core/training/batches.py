"""The order of samples in training, and their collation into padded batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.models.features import FeatureStore
from lnt_core.seeding import generator


@dataclass(frozen=True)
class Batch:
    """One micro-batch of B conversations, padded on the right to T tokens."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor  # (B, T)
    labels: Tensor  # (B, T)
    features: Tensor | None  # (images, tokens, channels); None if no sample has an image


def sample_order(num_samples: int, *, seed: int) -> Iterator[int]:
    """An endless stream of sample indices: a new random permutation for each epoch."""
    epoch = 0
    while True:
        yield from torch.randperm(num_samples, generator=generator("order", seed, epoch)).tolist()
        epoch += 1


def collate(samples: Sequence[Encoded], *, pad_id: int, store: FeatureStore) -> Batch:
    """Pad conversations to the longest of them, and add the features of their images."""
    length = max(len(sample.input_ids) for sample in samples)
    input_ids = torch.full((len(samples), length), pad_id)
    labels = torch.full((len(samples), length), IGNORE)
    mask = torch.zeros((len(samples), length), dtype=torch.long)
    for row, sample in enumerate(samples):
        width = len(sample.input_ids)
        input_ids[row, :width] = torch.tensor(sample.input_ids)
        labels[row, :width] = torch.tensor(sample.labels)
        mask[row, :width] = 1
    images = [path for sample in samples for path in sample.images]
    return Batch(input_ids, mask, labels, store.get(images) if images else None)
