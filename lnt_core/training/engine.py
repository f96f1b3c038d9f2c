"""The interface between the training loop and what computes gradients and optimizer steps."""

import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lnt_core.config import TrainConfig
from lnt_core.strategies.base import Strategy
from lnt_core.training.checkpoints import TrainingState
from lnt_core.training.optimizer import adamw, rate_groups, set_checkpointing

Number = float | Tensor
"""A scalar, which as a tensor is not read yet: reading makes the host wait for the device."""


class Engine(ABC):
    """Computes gradients and takes optimizer steps, in one process or several.

    For each step, the training loop calls :meth:`backward` for each micro-batch, :meth:`summed`,
    :meth:`penalty`, :meth:`update` and :meth:`clear`, in this order.

    Args:
        model: The tuned model, on its device.
        strategy: The strategy that was applied to ``model``.
        config: Batch sizes, schedule, precision.
        learning_rate: Peak learning rate.
        total: Number of optimizer steps of the whole training.
    """

    def __init__(
        self,
        model: nn.Module,
        strategy: Strategy,  # type: ignore[type-arg]
        config: TrainConfig,
        *,
        learning_rate: float,
        total: int,
    ) -> None:
        if config.checkpointing:
            set_checkpointing(model, on=True)
        self._config = config
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        groups = rate_groups(model, config, learning_rate)
        optimizer = self.make_optimizer(groups, learning_rate)
        strategy.begin(model, total)
        self.state = TrainingState(model, strategy, optimizer, schedule(optimizer, config, total))

    def make_optimizer(self, groups: Any, learning_rate: float) -> Optimizer:
        """AdamW over the trainable parameters, with the config's weight decay.

        Args:
            groups: What :func:`rate_groups` gives.
            learning_rate: Peak learning rate of what has none of its own in ``groups``.
        """
        on_gpu = self._parameters[0].is_cuda
        return adamw(groups, self._config, on_gpu=on_gpu, learning_rate=learning_rate)

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """The module to call with a micro-batch."""

    @abstractmethod
    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Add the gradient of one micro-batch's part of the step's loss.

        Args:
            loss: Zero for an empty micro-batch, which must be run as well: all workers call this
                equally often.
            last: Whether it is the last micro-batch of this worker's share of the step.
        """

    @abstractmethod
    def summed(self, value: Number) -> Number:
        """The sum of ``value`` over all workers; a tensor stays on its device, unread."""

    @abstractmethod
    def gradient(self, parameter: nn.Parameter) -> Tensor | None:
        """Gradient of the global batch's loss, without the penalty's, before clipping."""

    @abstractmethod
    def penalty(self) -> Number | None:
        """Add the gradient of the strategy's penalty; returns its value, None if it has none."""

    @abstractmethod
    def update(self, step: int) -> Number:
        """Clip the gradients, step optimizer and schedule, and call the strategy's ``after_step``.

        Returns:
            The norm of the gradient before clipping, penalty included.
        """

    @abstractmethod
    def clear(self) -> None:
        """Clear the gradients."""

    @abstractmethod
    def save(self, path: Path, *, step: int, monitor: Any) -> None:
        """Write a checkpoint atomically; ``monitor`` as for :func:`save_checkpoint`."""

    @abstractmethod
    def load(self, path: Path) -> tuple[int, Any] | None:
        """Resume from the checkpoint at ``path``.

        Returns:
            Its step and divergence monitor; None if there is no checkpoint.
        """


def schedule(optimizer: Optimizer, config: TrainConfig, total: int) -> LRScheduler:
    """Linear warm-up, then cosine decay to zero, over ``total`` steps in all."""
    from transformers import get_cosine_schedule_with_warmup

    warmup = math.ceil(config.warmup_ratio * total)
    made: LRScheduler = get_cosine_schedule_with_warmup(optimizer, warmup, total)
    return made
