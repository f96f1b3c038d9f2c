"""Merges tuned weights into the base model: one model without PEFT, with the same output."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from lnt_core.errors import ConfigError
from lnt_core.strategies.base import STRATEGIES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lnt_core.models.vlm import VisionLanguageModel


def check_mergeable(strategy: str) -> None:
    """Check that the weights of a strategy can be merged into the base model.

    Raises:
        ConfigError: They cannot; lists the strategies whose weights can.
    """
    if STRATEGIES[strategy].merges:
        return
    can = [name for name, method in STRATEGIES.items() if method.merges]
    raise ConfigError(
        f"the weights of {strategy!r} cannot be merged: they belong to modules or tokens that the "
        "base model's architecture lacks. Export without --merged, or choose one of "
        f"{', '.join(can)}"
    )


def merge(base: "VisionLanguageModel", folder: Path) -> "PreTrainedModel":
    """Merge the tuned weights saved in ``folder`` into ``base.model``.

    This changes ``base``, which afterwards can no longer serve as the base of a trial.

    Returns:
        The merged model, vision tower included, in evaluation mode.
    """
    from lnt_core.strategies.weights import load_weights

    tuned: Any = load_weights(base.model, folder)
    if hasattr(tuned, "merge_and_unload"):
        tuned = _without_stand_ins(tuned.merge_and_unload())
    merged: PreTrainedModel = tuned.eval()
    return merged


def _without_stand_ins(model: nn.Module) -> nn.Module:
    """Unwrap trained copies of modules, as PEFT 0.21 does itself for LoRA but not for LN tuning."""
    from peft.utils.other import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, module.modules_to_save["default"])
    return model
