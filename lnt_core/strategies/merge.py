"""Tuned weights merged into their base: one model, without PEFT, with the same output."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from lnt_core.errors import ConfigError
from lnt_core.strategies.base import STRATEGIES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lnt_core.models.vlm import VisionLanguageModel


def check_mergeable(strategy: str) -> None:
    """Refuse a strategy whose weights have no place in the base's architecture.

    Raises:
        ConfigError: Says which strategies have.
    """
    if STRATEGIES[strategy].merges:
        return
    can = [name for name, method in STRATEGIES.items() if method.merges]
    raise ConfigError(
        f"the weights of {strategy!r} cannot be merged: they are modules or tokens that the base's "
        f"architecture has no place for. Export without --merged, or one of {', '.join(can)}"
    )


def merge(base: "VisionLanguageModel", folder: Path) -> "PreTrainedModel":
    """Write the saved weights of ``folder`` into ``base.model``, which is no base any more then.

    Returns:
        The model, with its vision tower, in evaluation mode.
    """
    from lnt_core.strategies.weights import load_weights

    tuned: Any = load_weights(base.model, folder)
    if hasattr(tuned, "merge_and_unload"):
        tuned = _without_stand_ins(tuned.merge_and_unload())
    merged: PreTrainedModel = tuned.eval()
    return merged


def _without_stand_ins(model: nn.Module) -> nn.Module:
    """PEFT 0.21 unloads whole trained modules for LoRA, and leaves them wrapped for LN tuning."""
    from peft.utils.other import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.modules_to_save["default"])
    return model
