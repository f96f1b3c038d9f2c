"""Memory and FLOPs of a training step, from a run of it on tensors that have only a shape.

The step is the real one (the model's own code, autograd, checkpointing, AdamW), so what a frozen
layer does not save for its backward pass is not counted either. That is where strategies differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lnt_core.accounting.depth import at_full_depth, base_of
from lnt_core.accounting.ledger import GIB, Ledger
from lnt_core.config import TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import Strategy
from lnt_core.training.optimizer import adamw, set_checkpointing


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


@dataclass(frozen=True)
class StepCost:
    """What one micro-batch and the optimiser step after it take."""

    weights_gib: float
    """Of the whole model, vision tower included."""
    frozen_gib: float
    """Of them, those that do not train and so are the base's own."""
    gradients_gib: float
    optimizer_gib: float
    activations_gib: float
    """At the peak, what is neither of the above: activations, and temporaries of the step."""
    flops: float
    """Of one micro-batch, forward and backward; with checkpointing the recomputation counts."""

    @property
    def growth_gib(self) -> float:
        """What training adds to the tuned model's weights."""
        return self.gradients_gib + self.optimizer_gib + self.activations_gib

    @property
    def peak_gib(self) -> float:
        """All of it at the peak."""
        return self.weights_gib + self.growth_gib


def feature_channels(model: nn.Module, roles: Roles) -> int:
    """Channels of the vision tower's output: what the connector takes; 0 without a connector."""
    if roles.connector is None:
        return 0
    base = base_of(model)
    connector = base.get_submodule(roles.connector)
    return next(m.in_features for m in connector.modules() if isinstance(m, nn.Linear))


def predict_step(
    model: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    train: TrainConfig,
    shape: StepShape,
    *,
    on_gpu: bool,
    tower_gib: float = 0.0,
) -> StepCost:
    """Run one step of a tuned model on shapes alone; nothing is computed or allocated.

    Args:
        model: To which ``strategy`` was applied, on any device, ``meta`` included.
        strategy: Its penalty is part of the step.
        roles: Of the base model.
        train: Precision, checkpointing; whether batches are accumulated.
        shape: Of the micro-batch.
        on_gpu: Where the step will run; its optimiser is another there.
        tower_gib: Of the vision tower, where ``model`` lacks it (a trial's copy does).
    """

    def measure(twin: nn.Module) -> list[int]:
        set_checkpointing(twin.train(), on=train.gradient_checkpointing)
        return _step(twin, strategy, roles, train, shape, on_gpu=on_gpu)

    with torch.random.fork_rng(devices=[]), FakeTensorMode():
        weights, gradients, state, flops, *peaks = at_full_depth(model, roles, measure)
    return StepCost(
        weights_gib=weights / GIB + tower_gib,
        frozen_gib=(weights - gradients) / GIB + tower_gib,
        gradients_gib=gradients / GIB,
        optimizer_gib=state / GIB,
        activations_gib=max(0, max(peaks) - weights - gradients - state) / GIB,
        flops=float(flops),
    )


def _step(
    twin: nn.Module,
    strategy: Strategy,  # type: ignore[type-arg]
    roles: Roles,
    train: TrainConfig,
    shape: StepShape,
    *,
    on_gpu: bool,
) -> list[int]:
    """Bytes of weights, gradients and optimiser state, FLOPs, and the peaks of the step's parts."""
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
