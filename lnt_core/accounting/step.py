"""One training step of a tuned model, run on tensors that have only a shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lnt_core.accounting.depth import base_of
from lnt_core.accounting.ledger import Ledger
from lnt_core.config import TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import Strategy
from lnt_core.training.optimizer import adamw


@dataclass(frozen=True)
class StepShape:
    """One micro-batch: B conversations of T tokens, one image each."""

    batch: int
    tokens: int
    """With the image's."""
    image_tokens: int
    feature_channels: int
    """Of the vision tower's output."""
    answer_tokens: int
    """From the first answer to the end; the head computes no others."""


def run_step(
    twin: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    train: TrainConfig,
    shape: StepShape,
    *,
    on_gpu: bool,
) -> list[int]:
    """Bytes of weights, gradients and optimiser state, FLOPs, and the peaks of the step's parts.

    Args:
        twin: Without content, in training mode; for under a ``FakeTensorMode``.
        strategy: Its penalty is part of the step.
        roles: Of the base model.
        train: Precision; whether batches are accumulated.
        shape: Of the micro-batch.
        on_gpu: Where the step will run; its optimiser is another there.
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
        optimizer.step()  # it keeps its state from its first step on
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
    """The loop's own arithmetic, but images are put before the text: where they stand is data."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        embedded = embed(model, roles, shape)
        logits = model(
            inputs_embeds=embedded,
            attention_mask=torch.ones(shape.batch, shape.tokens, dtype=torch.long),
            logits_to_keep=min(shape.answer_tokens + 1, shape.tokens),
            use_cache=False,
        ).logits
    del embedded
    labels = torch.zeros(logits.shape[0] * (logits.shape[1] - 1), dtype=torch.long)
    loss = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels, reduction="sum"
    )
    del logits
    torch.autograd.backward(loss)
    penalty = strategy.penalty(model)
    if penalty is not None:
        torch.autograd.backward(penalty)


def _when_backward_reaches(twin: nn.Module, block: str, do: Callable[[], None]) -> None:
    """Have it told when all blocks but this one are done.

    From the last block's backward pass to the first one's, activations make room for gradients; the
    peak is at one end or the other, which depends on the depth.
    """

    def on_output(_module: nn.Module, _inputs: Any, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        if hidden.requires_grad:
            hidden.register_hook(lambda _gradient: do())

    base_of(twin).get_submodule(block).register_forward_hook(on_output)


def embed(model: nn.Module, roles: Roles, shape: StepShape) -> Tensor:
    """(batch, tokens, hidden_size): the connector's output, then the words'."""
    base = base_of(model)
    text = torch.zeros(shape.batch, shape.tokens - shape.image_tokens, dtype=torch.long)
    embedded: Tensor = base.get_submodule(roles.embedding)(text)
    if roles.connector is None or not shape.image_tokens:
        return embedded
    connector = base.get_submodule(roles.connector)
    features = torch.empty(
        shape.batch,
        shape.image_tokens,
        shape.feature_channels,
        dtype=next(connector.parameters()).dtype,
    )
    return torch.cat([connector(features).to(embedded.dtype), embedded], dim=1)
