"""Predicts memory and FLOPs of a training step by running it on fake tensors, which have no data.

The step is the real one: the model's own code, autograd, gradient checkpointing, AdamW. So tensors
that a frozen layer does not save for the backward pass are not counted. This is where the memory of
strategies differs.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from lnt_core.accounting.connector import feature_channels
from lnt_core.accounting.depth import at_full_depth, tower_blocks
from lnt_core.accounting.lengths import Lengths
from lnt_core.accounting.step import StepShape, run_step
from lnt_core.config import TrainConfig
from lnt_core.devices.memory import GIB, held_by
from lnt_core.models.roles import Roles
from lnt_core.strategies.base import Strategy, base_of
from lnt_core.training.optimizer import set_checkpointing


@dataclass(frozen=True)
class StepCost:
    """Memory and FLOPs of one micro-batch and the optimizer step after it."""

    weights_gib: float
    """All weights in the process: the model's, the vision tower's, and ``originals_gib``."""
    frozen_gib: float
    """Those of the weights that do not train."""
    gradients_gib: float
    optimizer_gib: float
    """Optimizer state."""
    activations_gib: float
    """Everything else at the peak: activations, and temporaries of the optimizer step."""
    flops: float
    """Forward and backward pass of one micro-batch; gradient checkpointing adds recomputation."""
    originals_gib: float = 0.0
    """The base's weights that the trial trains in copies of its own. They stay for the next trial:
    beside a GPU on the host, and otherwise here, as part of ``weights_gib`` and ``frozen_gib``."""
    tower_gib: float = 0.0
    """The vision tower's weights, part of both too; ZeRO does not shard them."""

    @property
    def growth_gib(self) -> float:
        """What training adds to the weights."""
        return self.gradients_gib + self.optimizer_gib + self.activations_gib

    @property
    def peak_gib(self) -> float:
        """Peak of all memory."""
        return self.weights_gib + self.growth_gib


def longest_batch(model: nn.Module, roles: Roles, lengths: Lengths, *, batch: int) -> StepShape:
    """Shape of a micro-batch of ``batch`` conversations as long as the longest in the data."""
    return StepShape(
        batch=batch,
        tokens=lengths.longest,
        image_tokens=lengths.image_tokens,
        feature_channels=feature_channels(base_of(model), roles),
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
    originals_gib: float = 0.0,
) -> StepCost:
    """Predict the cost of one step of a tuned model; no tensor data is computed or allocated.

    Args:
        model: With ``strategy`` applied, on any device, ``meta`` included.
        strategy: The strategy; its penalty is part of the step.
        roles: Roles of the base model.
        train: The training config: precision, gradient checkpointing and accumulation.
        shape: Shape of the micro-batch.
        on_gpu: Whether the step will run on a GPU, where AdamW is fused.
        tower_gib: Weights of the vision tower, if ``model`` lacks it, as a trial's copy does.
        originals_gib: Weights of the base that ``model`` does not share.
    """

    def measure(twin: nn.Module) -> list[int]:
        set_checkpointing(twin.train(), on=train.checkpointing)
        return run_step(twin, strategy, roles, train, shape, on_gpu=on_gpu)

    with torch.random.fork_rng(devices=[]), FakeTensorMode():
        weights, gradients, state, flops, *peaks = at_full_depth(model, roles, measure)
    beside_gib = tower_gib + originals_gib + held_by(*tower_blocks(model, roles))
    if roles.vision is not None:
        tower_gib += held_by(base_of(model).get_submodule(roles.vision))
    return StepCost(
        weights_gib=weights / GIB + beside_gib,
        frozen_gib=(weights - gradients) / GIB + beside_gib,
        gradients_gib=gradients / GIB,
        optimizer_gib=state / GIB,
        activations_gib=max(0, max(peaks) - weights - gradients - state) / GIB,
        flops=float(flops),
        originals_gib=originals_gib,
        tower_gib=tower_gib,
    )
