"""Applies a strategy to a copy of the base model, whether or not ZeRO-3 shards it."""

from torch import nn

from lnt_core.distributed.sharded import open_to_strategies
from lnt_core.distributed.zero_config import Deepspeed
from lnt_core.models.vlm import VisionLanguageModel, own_trainable
from lnt_core.strategies.base import Strategy, StrategyConfig


def tuned_copy(
    base: VisionLanguageModel,
    strategy: Strategy,  # type: ignore[type-arg]
    options: StrategyConfig,
    deepspeed: Deepspeed = None,
) -> nn.Module:
    """Copy the base model and apply a strategy to the copy.

    Frozen weights share the base's storage; trained parameters get their own, in float32. A base
    that ZeRO-3 shards shares the trained parameters as well, so training changes it.

    Args:
        base: The base model.
        strategy: The strategy to apply.
        options: The strategy's options.
        deepspeed: The setting that the base was loaded with.

    Raises:
        ConfigError: The model lacks what the strategy tunes.
    """
    copied: nn.Module = base.trial_copy()
    with open_to_strategies(copied, deepspeed):
        copied = strategy.apply(copied, base.roles, options)
    own_trainable(copied)
    return copied
