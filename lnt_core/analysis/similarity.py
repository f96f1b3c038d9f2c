"""Similarity of the representations in a model's layers."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.models.features import FeatureStore
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import base_of

BATCH = 8
"""Images whose layers are compared at a time."""


@torch.no_grad()
def layer_similarity(
    model: nn.Module,
    roles: Roles,
    prompt_ids: list[int],
    images: list[Path],
    store: FeatureStore,
    *,
    bf16: bool = False,
) -> list[list[float]]:
    """Cosine similarity between the outputs of each two blocks, averaged over tokens and images.

    Each block's output leaves the device before the next block runs: the device holds one block's
    at a time, and the host those of all blocks for ``BATCH`` images.

    Args:
        model: A tuned model, or the base.
        roles: Roles of the base model.
        prompt_ids: Token ids of the prompt, the same for every image.
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
    for start in range(0, len(images), BATCH):
        features = store.get(images[start : start + BATCH])
        ids = torch.tensor([prompt_ids] * len(features), device=features.device)
        outputs = Outputs(len(roles.blocks))
        with (
            each_output(model, roles, outputs.keep),
            torch.autocast(features.device.type, torch.bfloat16, enabled=bf16),
        ):
            run(model, input_ids=ids, pixel_values=features)
        layers = outputs.layers
        summed = torch.einsum("lbth,mbth->lm", layers, layers) / layers.shape[2]
        total = summed if total is None else total + summed
    assert total is not None
    matrix: list[list[float]] = (total / len(images)).tolist()
    return matrix


class Outputs:
    """Collects the outputs of all blocks on the host.

    Args:
        num_blocks: Number of blocks.
    """

    layers: Tensor
    """Of shape (blocks, images, tokens, channels), in float32."""

    def __init__(self, num_blocks: int) -> None:
        self._num_blocks = num_blocks

    def keep(self, index: int, output: Tensor) -> None:
        """Copy a block's output to the host."""
        if not hasattr(self, "layers"):
            self.layers = torch.empty(self._num_blocks, *output.shape)
        self.layers[index] = output


def run(model: nn.Module, **inputs: Any) -> None:
    """Run a model for the sake of its blocks: no padding, no cache, the head for one token only."""
    model(**inputs, use_cache=False, logits_to_keep=1)


@contextlib.contextmanager
def each_output(
    model: nn.Module, roles: Roles, take: Callable[[int, Tensor], None]
) -> Iterator[None]:
    """Within this context, hand over each block's output as the block ends.

    Args:
        model: A tuned model, or the base.
        roles: Roles of the base model.
        take: Called with a block's index and its output of shape (images, tokens, channels), with
            vectors of length 1 in float32. The last block's has the final norm applied.
    """
    base = base_of(model)
    watched = [base.get_submodule(name) for name in (*roles.blocks[:-1], roles.language)]

    def hook(index: int) -> Callable[..., None]:
        def on_output(_module: nn.Module, _inputs: Any, output: Any) -> None:
            states = output if isinstance(output, Tensor) else output[0]
            take(index, nn.functional.normalize(states.float(), dim=-1))

        return on_output

    handles = [module.register_forward_hook(hook(i)) for i, module in enumerate(watched)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def mean_similarity(matrix: list[list[float]]) -> float:
    """Mean over the pairs of different layers; 1.0 for a single layer.

    Example:
        >>> mean_similarity([[1.0, 0.5], [0.5, 1.0]])
        0.5
    """
    pairs = [value for i, row in enumerate(matrix) for value in row[:i]]
    return sum(pairs) / len(pairs) if pairs else 1.0
