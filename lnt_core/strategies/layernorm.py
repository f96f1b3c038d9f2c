"""LayerNorm tuning: the norms of the language model, with or without the shared base.

The paper's main method trains the norms with connector, embedding and head; its ablation the
norms alone. Both are PEFT's LN tuning with its targets named one by one, because PEFT's own
default for LLaVA also takes projector and embedding.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.strategies.base import Strategy, StrategyConfig, register
from lnt_core.strategies.peft_model import wrap

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class LayerNormConfig(StrategyConfig):
    """No options."""

    name: Literal["layernorm"] = "layernorm"


class LayerNormSimpleConfig(StrategyConfig):
    """No options."""

    name: Literal["layernorm_simple"] = "layernorm_simple"


@register("layernorm")
class LayerNorm(Strategy[LayerNormConfig]):
    """Train the norms of every block and the final one, with connector, embedding and head."""

    Config: ClassVar[type[StrategyConfig]] = LayerNormConfig
    label: ClassVar[str] = "LayerNorm"
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: LayerNormConfig) -> "nn.Module":
        from peft import LNTuningConfig

        return wrap(
            model,
            LNTuningConfig(target_modules=list(roles.norm), modules_to_save=list(roles.base)),
            roles,
        )


@register("layernorm_simple")
class LayerNormSimple(Strategy[LayerNormSimpleConfig]):
    """Train the norms and nothing else."""

    Config: ClassVar[type[StrategyConfig]] = LayerNormSimpleConfig
    label: ClassVar[str] = "LayerNorm-simp."
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def apply(
        self, model: "nn.Module", roles: "Roles", options: LayerNormSimpleConfig
    ) -> "nn.Module":
        from peft import LNTuningConfig

        return wrap(model, LNTuningConfig(target_modules=list(roles.norm)), roles)
