"""Memory and FLOPs of a training step, from a run of it on tensors that have only a shape.

The step is the real one (the model's own code, autograd, checkpointing, AdamW), so what a frozen
layer does not save for its backward pass is not counted either. That is where strategies differ.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lnt_core.accounting.depth import at_full_depth, base_of
from lnt_core.accounting.ledger import GIB
from lnt_core.accounting.lengths import Lengths
from lnt_core.accounting.step import StepShape, run_step
from lnt_core.config import TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import Strategy
from lnt_core.training.optimizer import set_checkpointing


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


def longest_batch(
    model: nn.Module, roles: Roles, lengths: Lengths, *, batch: int, image_tokens: int
) -> StepShape:
    """A micro-batch of the data's longest conversations."""
    return StepShape(
        batch=batch,
        tokens=lengths.longest,
        image_tokens=image_tokens,
        feature_channels=feature_channels(model, roles),
        answer_tokens=lengths.longest_answer,
    )


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
        return run_step(twin, strategy, roles, train, shape, on_gpu=on_gpu)

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
