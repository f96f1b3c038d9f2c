"""The order of samples in training, and their collation into padded batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.models.features import FeatureStore
from lnt_core.seeding import generator


@dataclass(frozen=True)
class Batch:
    """One micro-batch of B conversations, padded on the right to T tokens."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor  # (B, T)
    labels: Tensor  # (B, T)
    images: dict[str, Any]
    """What the model takes of the images; empty if no conversation has any."""
    extras: dict[str, Tensor] = field(default_factory=dict)  # (B, T) each
    """What else the model takes of each token, such as ``token_type_ids``."""

    def inputs(self, device: torch.device) -> dict[str, Any]:
        """Arguments of the forward pass, on ``device``."""
        tokens = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        moved = {key: value.to(device) for key, value in (tokens | self.extras).items()}
        return moved | self.images


def sample_order(num_samples: int, *, seed: int) -> Iterator[int]:
    """An endless stream of sample indices: a new random permutation for each epoch."""
    epoch = 0
    while True:
        yield from torch.randperm(num_samples, generator=generator("order", seed, epoch)).tolist()
        epoch += 1


def collate(samples: Sequence[Encoded], *, pad_id: int, store: FeatureStore) -> Batch:
    """Pad conversations to the longest of them, and add the features of their images."""

    def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
        tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
        return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    keys = dict.fromkeys(key for sample in samples for key in sample.extras)
    none = [[0] * len(sample.input_ids) for sample in samples]
    extras = {
        key: padded([s.extras.get(key, n) for s, n in zip(samples, none, strict=True)], 0)
        for key in keys
    }
    return Batch(
        input_ids=padded([sample.input_ids for sample in samples], pad_id),
        attention_mask=padded([[1] * len(sample.input_ids) for sample in samples], 0),
        labels=padded([sample.labels for sample in samples], IGNORE),
        images=store.get([sample.images for sample in samples]),
        extras=extras,
    )
