"""How an optimiser step is taken: by this process alone, or with others (``zero.py``)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from lnt_core.config import TrainConfig, TuneConfig
from lnt_core.data.conversation import Encoded
from lnt_core.distributed import num_workers
from lnt_core.errors import ConfigError
from lnt_core.strategies.base import Strategy
from lnt_core.training.checkpoints import TrainingState, load_checkpoint, save_checkpoint
from lnt_core.training.optimizer import adamw, set_checkpointing


class Engine(ABC):
    """Takes the gradients of micro-batches and steps; the loop around it is the same for all."""

    state: TrainingState

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


class PlainEngine(Engine):
    """One process, plain PyTorch."""

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
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = adamw(
            parameters, config, on_gpu=parameters[0].is_cuda, learning_rate=learning_rate
        )
        strategy.begin(model, total)
        self.state = TrainingState(model, strategy, optimizer, schedule(optimizer, config, total))
        called: Any = torch.compile(model, dynamic=True) if config.compile else model
        self._called: nn.Module = called
        self._parameters = parameters
        self._config = config

    @property
    @override
    def model(self) -> nn.Module:
        return self._called

    @override
    def share(self, chosen: Sequence[Encoded]) -> list[Sequence[Encoded]]:
        return micro_batches(chosen, self._config.micro_batch)

    @override
    def backward(self, loss: Tensor) -> None:
        torch.autograd.backward(loss)

    @override
    def summed(self, value: float) -> float:
        return value

    @override
    def gradient(self, parameter: nn.Parameter) -> Tensor | None:
        return parameter.grad

    @override
    def penalty(self) -> float | None:
        penalty = self.state.strategy.penalty(self.state.model)
        if penalty is None:
            return None
        self.backward(penalty)
        return penalty.item()

    @override
    def update(self, step: int) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.max_grad_norm)
        self.state.optimizer.step()
        self.state.schedule.step()
        self.state.strategy.after_step(self.state.model, step)
        return float(norm)

    @override
    def clear(self) -> None:
        self.state.optimizer.zero_grad(set_to_none=True)

    @override
    def save(self, path: Path, *, step: int, monitor: Any) -> None:
        save_checkpoint(path, self.state, step=step, monitor=monitor)

    @override
    def load(self, path: Path) -> tuple[int, Any] | None:
        return load_checkpoint(path, self.state) if path.exists() else None


def engine_for(config: TrainConfig) -> Callable[..., Engine]:
    """What takes the steps: this process alone, or DeepSpeed if the config asks for it.

    Raises:
        ConfigError: There are several workers, and nothing says how they share the work.
    """
    if isinstance(config, TuneConfig) and config.deepspeed is not None:
        from lnt_core.training.zero import ZeroEngine

        return ZeroEngine
    if isinstance(config, TuneConfig) and num_workers() > 1:
        raise ConfigError(
            f"{num_workers()} workers were started for a trial without `train.deepspeed`: say "
            "zero1, zero2 or zero3, or start one"
        )
    return PlainEngine


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
