"""Similarity of the representations in a model's layers."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from lnt_core.data.conversation import Encoded
from lnt_core.evaluation.captioning import prompt_tensors
from lnt_core.models.features import FeatureStore

BATCH = 8


@torch.no_grad()
def layer_similarity(
    model: nn.Module,
    prompts: Sequence[Encoded],
    images: Sequence[Path],
    store: FeatureStore,
    *,
    bf16: bool = False,
) -> list[list[float]]:
    """Cosine similarity between the outputs of each two blocks, averaged over tokens and images.

    Args:
        model: A tuned model, or the base.
        prompts: The prompt of each image.
        images: Image files; a few are enough.
        store: Image features.
        bf16: Run under bfloat16 autocast.

    Returns:
        A symmetric matrix (blocks, blocks) with values in -1..1. The final norm is applied to the
        last block's output, as in the hidden states that transformers returns.

    Source:
        Zhao et al., arXiv:2312.11420, section 5: LayerNorm tuning gives lower similarity than
        full finetuning, which they interpret as more expressive layers.
    """
    model.eval()
    total: Tensor | None = None
    device = next(model.parameters()).device
    for part in _of_equal_length(prompts):
        given = store.get([(images[index],) for index in part])
        tokens = prompt_tensors([prompts[index] for index in part], 0, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            states = model(
                **tokens,
                **given,
                output_hidden_states=True,
                logits_to_keep=1,
            ).hidden_states[1:]
        layers = nn.functional.normalize(torch.stack(states).float(), dim=-1)
        summed = torch.einsum("lbth,mbth->lm", layers, layers) / layers.shape[2]
        total = summed if total is None else total + summed
    assert total is not None
    matrix: list[list[float]] = (total / len(images)).tolist()
    return matrix


def _of_equal_length(prompts: Sequence[Encoded]) -> Iterator[list[int]]:
    """Indices of prompts in batches without padding, which would count as tokens."""
    by_length = itertools.groupby(
        range(len(prompts)), key=lambda index: len(prompts[index].input_ids)
    )
    for _, equal in by_length:
        indices = list(equal)
        for start in range(0, len(indices), BATCH):
            yield indices[start : start + BATCH]


def mean_similarity(matrix: list[list[float]]) -> float:
    """Mean over the pairs of different layers; 1.0 for a single layer.

    Example:
        >>> mean_similarity([[1.0, 0.5], [0.5, 1.0]])
        0.5
    """
    pairs = [value for i, row in enumerate(matrix) for value in row[:i]]
    return sum(pairs) / len(pairs) if pairs else 1.0
