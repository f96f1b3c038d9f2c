"""A strategy applied to a base model, in whatever way its weights lie."""

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
    """A copy of the base with what the strategy trains: storage of its own, in float32.

    Args:
        base: Whole, or in parts.
        strategy: To be applied.
        options: The strategy's own.
        deepspeed: As the base was loaded with.

    Raises:
        ConfigError: The model lacks what the strategy tunes.
    """
    copied: nn.Module = base.trial_copy()
    with open_to_strategies(copied, deepspeed):
        copied = strategy.apply(copied, base.roles, options)
    own_trainable(copied)
    return copied
