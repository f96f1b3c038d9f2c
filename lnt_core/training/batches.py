"""The order of samples in training, and their collation into padded batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.devices.memory import pinned
from lnt_core.models.features import FeatureStore, Reader, ReadImages
from lnt_core.seeding import generator

LOOKS_AHEAD = "token_type_ids"
"""The extra of models in which some tokens look ahead (Gemma 3, PaliGemma): it says which."""


@dataclass(frozen=True)
class Batch:
    """One micro-batch of B conversations, padded on the right to T tokens."""

    input_ids: Tensor  # (B, T)
    attention_mask: Tensor | None  # (B, T)
    """None where each token looks back only: padding then stands behind all that it could disturb,
    and without a mask torch's attention leaves out what lies ahead, half of its work."""
    labels: Tensor  # (B, T)
    images: dict[str, Any]
    """What the model takes of the images; empty if no conversation has any."""
    extras: dict[str, Tensor] = field(default_factory=dict)  # (B, T) each
    """What else the model takes of each token, such as ``token_type_ids``."""

    def inputs(self, device: torch.device) -> dict[str, Any]:
        """Arguments of the forward pass, on ``device``."""
        given = {"input_ids": self.input_ids, **self.extras}
        if self.attention_mask is not None:
            given["attention_mask"] = self.attention_mask
        moved = {key: value.to(device, non_blocking=True) for key, value in given.items()}
        return moved | self.images

    def pinned_for(self, device: torch.device) -> "Batch":
        """The same with tokens from which a copy to ``device`` overlaps with its work."""
        mask = self.attention_mask
        return replace(
            self,
            input_ids=pinned(self.input_ids, device),
            attention_mask=None if mask is None else pinned(mask, device),
            labels=pinned(self.labels, device),
            extras={key: pinned(value, device) for key, value in self.extras.items()},
        )


def sample_order(num_samples: int, *, seed: int) -> Iterator[int]:
    """An endless stream of sample indices: a new random permutation for each epoch."""
    epoch = 0
    while True:
        yield from torch.randperm(num_samples, generator=generator("order", seed, epoch)).tolist()
        epoch += 1


@dataclass(frozen=True)
class LoadedBatch:
    """A micro-batch as far as it can be made without the model, on the host."""

    tokens: Batch
    """Without images."""
    images: ReadImages

    def pinned_for(self, device: torch.device) -> "LoadedBatch":
        """The same, of whose tokens a copy to ``device`` overlaps with its work."""
        return replace(self, tokens=self.tokens.pinned_for(device))

    def finished(self, store: FeatureStore) -> Batch:
        """The micro-batch with the features of its images; in the thread that trains."""
        return replace(self.tokens, images=store.finished(self.images))


def collate(samples: Sequence[Encoded], *, pad_id: int, store: FeatureStore) -> Batch:
    """Pad conversations to the longest of them, and add the features of their images."""
    return load_batch(samples, pad_id=pad_id, read=store.reader()).finished(store)


def load_batch(samples: Sequence[Encoded], *, pad_id: int, read: Reader) -> LoadedBatch:
    """The part of :func:`collate` that any thread may do.

    Args:
        samples: Those of the micro-batch.
        pad_id: Id of the padding token.
        read: From ``FeatureStore.reader``.
    """

    def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
        tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
        return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)

    keys = dict.fromkeys(key for sample in samples for key in sample.extras)
    none = [[0] * len(sample.input_ids) for sample in samples]
    extras = {
        key: padded([s.extras.get(key, n) for s, n in zip(samples, none, strict=True)], 0)
        for key in keys
    }
    all_real = [[1] * len(sample.input_ids) for sample in samples]
    tokens = Batch(
        input_ids=padded([sample.input_ids for sample in samples], pad_id),
        attention_mask=padded(all_real, 0) if LOOKS_AHEAD in extras else None,
        labels=padded([sample.labels for sample in samples], IGNORE),
        images={},
        extras=extras,
    )
    return LoadedBatch(tokens, read([sample.images for sample in samples]))
