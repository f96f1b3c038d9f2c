"""The engine of several workers that each hold the whole model, with plain torch.distributed.

For stage 1, whose trained part, the connector, is small: nothing is gained by sharding it, and
DeepSpeed need not be installed.
"""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from typing_extensions import override

from lnt_core.distributed.ranks import gather, is_first, rank, wait_for_all
from lnt_core.seeding import random_states, set_random_states
from lnt_core.training.checkpoints import save_checkpoint
from lnt_core.training.engine import Number
from lnt_core.training.engines import PlainEngine


class AveragedEngine(PlainEngine):
    """One of the workers; all of them must call the same methods in the same order.

    The losses of all workers add up to the mean of the global batch, and so do their gradients,
    which are summed after the last micro-batch. Every worker then takes the same optimizer step.
    The checkpoint is a single file that rank 0 writes and all workers must see.
    """

    @override
    def backward(self, loss: Tensor, *, last: bool) -> None:
        super().backward(loss, last=last)
        if last:
            for parameter in self._parameters:
                if parameter.grad is None:  # unused here, but perhaps not by another worker
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    @override
    def summed(self, value: Number) -> Number:
        total = torch.as_tensor(value, dtype=torch.float64, device=self._device).clone()
        dist.all_reduce(total)
        return total

    @override
    def save(self, path: Path, *, step: int, monitor: Any) -> None:
        workers = gather(random_states(self._device))
        if is_first():
            save_checkpoint(path, self.state, step=step, monitor=monitor, workers=workers)
        wait_for_all()

    @override
    def load(self, path: Path) -> tuple[int, Any] | None:
        loaded = super().load(path)
        if loaded is not None:
            content = torch.load(path, map_location="cpu", weights_only=True)
            set_random_states(content["workers"][rank()], self._device)
        return loaded

    @property
    def _device(self) -> torch.device:
        return self._parameters[0].device
