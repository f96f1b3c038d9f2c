"""How an optimiser step is taken: by this process alone, or with others (``zero_engine.py``)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lnt_core.config import TrainConfig
from lnt_core.data.conversation import Encoded
from lnt_core.strategies.base import Strategy
from lnt_core.training.checkpoints import TrainingState
from lnt_core.training.optimizer import adamw, set_checkpointing


class Engine(ABC):
    """Takes the gradients of micro-batches and steps; the loop around it is the same for all."""

    def __init__(
        self,
        model: nn.Module,
        strategy: Strategy,  # type: ignore[type-arg]
        config: TrainConfig,
        *,
        learning_rate: float,
        total: int,
    ) -> None:
        if config.gradient_checkpointing:
            set_checkpointing(model, on=True)
        self._config = config
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = self.make_optimizer(learning_rate)
        strategy.begin(model, total)
        self.state = TrainingState(model, strategy, optimizer, schedule(optimizer, config, total))

    def make_optimizer(self, learning_rate: float) -> Optimizer:
        """AdamW over the parameters that train, with the config's weight decay."""
        on_gpu = self._parameters[0].is_cuda
        return adamw(self._parameters, self._config, on_gpu=on_gpu, learning_rate=learning_rate)

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """What is called with a batch."""

    @abstractmethod
    def share(self, chosen: Sequence[Encoded]) -> list[Sequence[Encoded]]:
        """This worker's micro-batches of a batch; an empty one is run only to keep step."""

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Add the gradient of one micro-batch's share of the loss."""

    @abstractmethod
    def summed(self, value: float) -> float:
        """The sum of this number over all workers."""

    @abstractmethod
    def gradient(self, parameter: nn.Parameter) -> Tensor | None:
        """The gradient of the whole batch's loss, without the penalty's, before clipping."""

    @abstractmethod
    def penalty(self) -> float | None:
        """After the micro-batches: add the strategy's penalty's gradient; its value, if any."""

    @abstractmethod
    def update(self, step: int) -> float:
        """Clip and step, the schedule too, and let the strategy act after this ``step``.

        Returns:
            The gradient's norm before clipping, the penalty's included.
        """

    @abstractmethod
    def clear(self) -> None:
        """Forget the gradients."""

    @abstractmethod
    def save(self, path: Path, *, step: int, monitor: Any) -> None:
        """Write a checkpoint, whole or not at all."""

    @abstractmethod
    def load(self, path: Path) -> tuple[int, Any] | None:
        """Go on from a checkpoint: its step and the divergence monitor; None if there is none."""


def schedule(optimizer: Optimizer, config: TrainConfig, total: int) -> LRScheduler:
    """Linear warm-up, then cosine to zero over ``total`` steps."""
    from transformers import get_cosine_schedule_with_warmup

    warmup = math.ceil(config.warmup_ratio * total)
    made: LRScheduler = get_cosine_schedule_with_warmup(optimizer, warmup, total)
    return made


def micro_batches(samples: Sequence[Encoded], size: int) -> list[Sequence[Encoded]]:
    """``samples`` in pieces of ``size``; the last may be smaller.

    Example:
        >>> micro_batches("abcde", 2)
        ['ab', 'cd', 'e']
    """
    return [samples[i : i + size] for i in range(0, len(samples), size)]
