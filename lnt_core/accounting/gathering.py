"""Whether weights that ZeRO-3 shards are gathered once for all captions, or for each token."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from lnt_core import metrics as metric
from lnt_core.accounting.auto import SAFE_SHARE
from lnt_core.accounting.connector import feature_channels
from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.step import StepShape
from lnt_core.devices.chosen import is_gpu
from lnt_core.devices.memory import GIB, free_gib
from lnt_core.distributed.ranks import gather, num_workers
from lnt_core.distributed.sharded import in_parts, is_sharded, run_whole
from lnt_core.strategies.base import base_of
from lnt_core.worker import Prepared


@dataclass(frozen=True)
class Gathering:
    """Of the weights of one model, for captions."""

    model: nn.Module
    """Tuned or not; sharded or whole."""
    device: torch.device
    needed_gib: float = 0.0
    """Predicted GiB of the whole weights and of what captioning a batch adds; 0 if not sharded."""
    memory_gib: float | None = None
    """Memory that this worker may use in all; None: what is free."""

    @classmethod
    def planned(
        cls, model: nn.Module, prepared: Prepared, *, bf16: bool, memory_gib: float | None
    ) -> "Gathering":
        """Predict what is needed; call it before an engine has the model.

        Args:
            model: The tuned model, or the base.
            prepared: What was prepared for its trial.
            bf16: Captions are generated under bfloat16 autocast.
            memory_gib: Memory that this worker may use in all. Default: what is free.
        """
        base, task = prepared.base, prepared.select
        device = torch.device(base.device)
        if not is_sharded(model):
            return cls(model, device)
        tokens, new_tokens = task.longest
        shape = StepShape(
            batch=task.batch_size,
            tokens=tokens,
            image_tokens=base.conversations.num_image_tokens,
            feature_channels=feature_channels(base_of(model), base.roles),
            answer_tokens=0,
        )
        captions_gib = predict_generation_gib(
            model, base.roles, shape, max_new_tokens=new_tokens, bf16=bf16
        )
        return cls(model, device, _whole_gib(model) + captions_gib, memory_gib)

    @contextlib.contextmanager
    def for_captions(self) -> Iterator[dict[str, float]]:
        """Context within which to caption; every worker must enter it.

        Yields:
            The metric that says how weights are gathered; none if they are not sharded.
        """
        if not is_sharded(self.model):
            yield {}
            return
        if all(gather(self._fits())):
            with run_whole(self.model):
                yield {metric.GATHERED_ONCE: 1.0}
        else:
            yield {metric.GATHERED_ONCE: 0.0}

    def _fits(self) -> bool:
        """Whether the whole weights fit this worker beside what it holds."""
        free = free_gib(self.device, limit_gib=self.memory_gib)
        if self.memory_gib is None and not is_gpu(self.device):
            free /= num_workers()  # they may all be on this host
        return self.needed_gib <= SAFE_SHARE * free


def _whole_gib(model: nn.Module) -> float:
    """GiB of all weights that are sharded, gathered."""
    parts = [p for p in model.parameters() if in_parts(p)]
    return sum(p.ds_numel * p.ds_tensor.element_size() for p in parts) / GIB  # type: ignore[attr-defined]
