"""The engine of a single process, and the choice of the engine for a config."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from lnt_core.config import TrainConfig, TuneConfig
from lnt_core.distributed.ranks import num_workers
from lnt_core.errors import ConfigError
from lnt_core.training.checkpoints import load_checkpoint, save_checkpoint
from lnt_core.training.compiled import compiled
from lnt_core.training.engine import Engine, Number


class PlainEngine(Engine):
    """A single process with plain PyTorch."""

    @functools.cached_property
    @override
    def model(self) -> nn.Module:
        model = self.state.model
        return compiled(model) if self._config.compile else model

    @override
    def backward(self, loss: Tensor, *, last: bool) -> None:
        torch.autograd.backward(loss)

    @override
    def summed(self, value: Number) -> Number:
        return value

    @override
    def gradient(self, parameter: nn.Parameter) -> Tensor | None:
        return parameter.grad

    @override
    def penalty(self) -> Number | None:
        penalty = self.state.strategy.penalty(self.state.model)
        if penalty is None:
            return None
        torch.autograd.backward(penalty)
        return penalty.detach()

    @override
    def update(self, step: int) -> Number:
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.max_grad_norm)
        self.state.optimizer.step()
        self.state.schedule.step()
        self.state.strategy.after_step(self.state.model, step)
        return norm

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
    """The class of the engine: ``ZeroEngine`` with `train.deepspeed`, else ``PlainEngine``.

    Several workers that train stage 1 without DeepSpeed have an ``AveragedEngine`` each.

    Raises:
        ConfigError: There are several workers of stage 2, but no `train.deepspeed`.
    """
    if isinstance(config, TuneConfig) and config.deepspeed is not None:
        from lnt_core.training.zero_engine import ZeroEngine

        return ZeroEngine
    if isinstance(config, TuneConfig) and num_workers() > 1:
        raise ConfigError(
            f"{num_workers()} workers were started for a trial without `train.deepspeed`: set it "
            "to zero1, zero2 or zero3, or start one worker"
        )
    if num_workers() > 1:
        from lnt_core.training.averaged_engine import AveragedEngine

        return AveragedEngine
    return PlainEngine
