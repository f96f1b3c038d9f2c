"""What a strategy costs: trainable parameters, their share, bytes of weights and optimiser."""

import resource
import sys
from dataclasses import dataclass

import torch
from torch import nn

from lnt_core.config import Precision
from lnt_core.errors import TrialError

GIB = 2**30


@dataclass(frozen=True)
class ParameterCount:
    """Parameters of a model under a strategy; a tied pair counts once."""

    total: int
    """Base model, vision tower included, and what the strategy added. A frozen original that a
    trained copy stands in for is not counted."""
    trainable: int

    @property
    def share(self) -> float:
        """Trainable share of all parameters, 0..1."""
        return self.trainable / self.total


def count_parameters(model: nn.Module, *, left_out: int = 0) -> ParameterCount:
    """Count a model to which a strategy was applied.

    Args:
        model: Plain, or a PEFT model.
        left_out: Parameters of the base that ``model`` lacks: a trial's vision tower.

    Raises:
        TrialError: Nothing trains.
    """
    shadowed = _shadowed(model)
    counted = {id(p): p for n, p in model.named_parameters() if id(p) not in shadowed}
    trainable = sum(p.numel() for p in counted.values() if p.requires_grad)
    if trainable == 0:
        raise TrialError(f"the strategy trains no parameter of {type(model).__name__}")
    total = sum(p.numel() for p in counted.values()) + left_out
    return ParameterCount(total=total, trainable=trainable)


def _shadowed(model: nn.Module) -> set[int]:
    """Frozen originals beside PEFT's trained copies of them."""
    originals = [
        module.original_module if hasattr(module, "modules_to_save") else module.base_layer
        for module in model.modules()
        if (hasattr(module, "modules_to_save") and hasattr(module, "original_module"))
        or (hasattr(module, "ln_tuning_layers") and hasattr(module, "base_layer"))
    ]
    return {id(p) for original in originals for p in original.parameters()}  # type: ignore[union-attr]


def state_gib(model: nn.Module, *, precision: Precision, left_out: int = 0) -> float:
    """GiB of weights, gradients and AdamW state of a model to which a strategy was applied.

    Frozen weights take 4 bytes, or 2 in bf16; a trained one 4 for itself, 4 for its gradient and
    8 for AdamW. Activations are not in it.
    """
    frozen_bytes = 2 if precision == "bf16" else 4
    unique = {id(p): p for p in model.parameters()}.values()
    trainable = sum(p.numel() for p in unique if p.requires_grad)
    frozen = sum(p.numel() for p in unique if not p.requires_grad) + left_out
    return (frozen * frozen_bytes + trainable * 16) / GIB


def reset_peak_memory() -> None:
    """Start a new measurement of the GPU's peak, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_gib() -> float:
    """Peak GiB since the last reset on a GPU; on CPU the process's peak since it started."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GIB
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
