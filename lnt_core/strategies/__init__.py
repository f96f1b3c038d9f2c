"""The tuning strategies: one file per strategy, and a registry.

To add one, write its file and add its Config to ``AnyStrategyConfig``.
"""

from typing import Annotated

from pydantic import Field

from lnt_core.strategies.adalora import AdaLoraConfig
from lnt_core.strategies.adapters import AdapterParallelConfig, AdapterSerialConfig
from lnt_core.strategies.attn_mlp import AttnMLPConfig
from lnt_core.strategies.attn_qv import AttnQVConfig
from lnt_core.strategies.base import STRATEGIES, Strategy, StrategyConfig, get_strategy, register
from lnt_core.strategies.connector import ConnectorConfig
from lnt_core.strategies.full import FullConfig
from lnt_core.strategies.layernorm import LayerNormConfig, LayerNormSimpleConfig
from lnt_core.strategies.lora import LoraConfig
from lnt_core.strategies.prefix import PrefixConfig
from lnt_core.strategies.prompt import PromptConfig

AnyStrategyConfig = Annotated[
    FullConfig
    | LoraConfig
    | AttnQVConfig
    | AttnMLPConfig
    | LayerNormConfig
    | LayerNormSimpleConfig
    | ConnectorConfig
    | AdapterSerialConfig
    | AdapterParallelConfig
    | PrefixConfig
    | PromptConfig
    | AdaLoraConfig,
    Field(discriminator="name"),
]

__all__ = [
    "STRATEGIES",
    "AnyStrategyConfig",
    "Strategy",
    "StrategyConfig",
    "get_strategy",
    "register",
]
