"""Runs one training step of a tuned model on fake tensors, and measures it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.accounting.connector import connected
from lnt_core.accounting.ledger import Ledger
from lnt_core.config import TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import Strategy, base_of
from lnt_core.training.optimizer import adamw


@dataclass(frozen=True)
class StepShape:
    """Shape of one micro-batch of conversations of equal length, with as many image tokens each."""

    batch: int
    """Number of conversations."""
    tokens: int
    """Tokens of each conversation, image tokens included."""
    image_tokens: int
    """Tokens of the images of each conversation."""
    feature_channels: int
    """Channels of an image token's features, if the connector takes these, otherwise 0."""
    answer_tokens: int
    """Tokens from the first answer to the end; the head computes logits for these only."""


def run_step(
    twin: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    train: TrainConfig,
    shape: StepShape,
    *,
    on_gpu: bool,
) -> list[int]:
    """Run one step and measure it; call it under a ``FakeTensorMode``.

    Args:
        twin: The tuned model with fake tensors, in training mode.
        strategy: The strategy; its penalty is part of the step.
        roles: Roles of the base model.
        train: The training config: precision and gradient accumulation.
        shape: Shape of the micro-batch.
        on_gpu: Whether the step will run on a GPU, where AdamW is fused.

    Returns:
        Bytes of weights, gradients and optimizer state, FLOPs, and the peak bytes of each part of
        the step: up to the backward pass of the first block, the rest of the backward pass, the
        optimizer step.
    """
    parameters = [p for p in twin.parameters() if p.requires_grad]
    ledger = Ledger()
    with ledger:
        for tensor in (*twin.parameters(), *twin.buffers()):
            ledger.add(tensor)
        weights = ledger.live_bytes
        gradients = sum(p.numel() * p.element_size() for p in parameters)
        optimizer = adamw(parameters, train, on_gpu=on_gpu)
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter)
        optimizer.step()  # allocates the optimizer's state
        state = ledger.live_bytes - weights - gradients
        if train.batch_size == train.micro_batch:
            optimizer.zero_grad(set_to_none=True)
        ledger.restart()
        _when_backward_reaches(twin, roles.blocks[0], ledger.end_part)
        _forward_backward(twin, strategy, roles, shape, bf16=train.precision == "bf16")
        ledger.end_part()
        torch.nn.utils.clip_grad_norm_(parameters, train.max_grad_norm)
        flops = ledger.flops
        optimizer.step()
        ledger.end_part()
    return [weights, gradients, state, flops, *ledger.peaks]


def _forward_backward(
    model: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    shape: StepShape,
    *,
    bf16: bool,
) -> None:
    """The training loop's computation, except that images come before the text.

    Where images are in the text depends on token ids, which fake tensors do not have.
    """
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        embedded = embed(model, roles, shape)
        logits = model(
            inputs_embeds=embedded,
            logits_to_keep=min(shape.answer_tokens + 1, shape.tokens),
            use_cache=False,
        ).logits
    del embedded
    labels = torch.zeros(logits.shape[:2], dtype=torch.long)
    loss = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), labels.flatten(), reduction="sum"
    )
    del logits
    torch.autograd.backward(loss)
    penalty = strategy.penalty(model)
    if penalty is not None:
        torch.autograd.backward(penalty)


def _when_backward_reaches(twin: nn.Module, block: str, do: Callable[[], None]) -> None:
    """Call ``do`` when the backward pass has done all blocks except ``block``, the first.

    From the last block to the first, the backward pass frees activations and adds gradients. The
    peak is at one end or the other, depending on the depth, so both are measured.
    """

    def on_output(_module: nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad:
            hidden.register_hook(lambda _gradient: do())

    base_of(twin).get_submodule(block).register_forward_hook(on_output)


def embed(model: nn.Module, roles: Roles, shape: StepShape) -> Tensor:
    """Input embeddings (batch, tokens, hidden_size): the connector's output, then the text."""
    base = base_of(model)
    text = torch.zeros(shape.batch, shape.tokens - shape.image_tokens, dtype=torch.long)
    embedded: Tensor = base.get_submodule(roles.embedding)(text)
    if not roles.connector or not shape.image_tokens:
        return embedded
    images = connected(
        base,
        roles,
        rows=(shape.batch, shape.image_tokens),
        channels=shape.feature_channels,
        hidden_size=embedded.shape[-1],
    )
    return torch.cat([images.to(embedded.dtype), embedded], dim=1)
