"""LayerNorm tuning: the norms of the language model, with or without the shared parts.

The shared parts are connector, word embedding and output head: the paper's main method trains them
too, its ablation trains the norms alone. Both use PEFT's LN tuning with every target named, because
PEFT's default for LLaVA includes projector and embedding.
"""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import model_validator
from typing_extensions import override

from lnt_core.errors import ConfigError, bad_field
from lnt_core.strategies.base import Strategy, StrategyConfig, register
from lnt_core.strategies.peft_model import wrap

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class NormsConfig(StrategyConfig):
    """Which norms train."""

    target_modules: tuple[str, ...] = ()
    """Suffixes of the norms' names, as in PEFT: `[input_layernorm, norm]`. Default: the norms of
    each block outside its attention, and the final norm."""
    attention_norms: bool = False
    """Also train the norms of queries and keys inside the attention of each block. The models of
    the paper have none; Qwen3 and Gemma 3 do (`q_norm`, `k_norm`)."""

    @model_validator(mode="after")
    def _named_or_not(self) -> Self:
        if self.target_modules and self.attention_norms:
            raise ValueError(
                "`target_modules` names every norm that trains: name those of the attention there, "
                "or leave out one of the two"
            )
        return self


class LayerNormConfig(NormsConfig):
    """Options of LayerNorm tuning."""

    name: Literal["layernorm"] = "layernorm"


class LayerNormSimpleConfig(NormsConfig):
    """Options of LayerNorm tuning without the shared parts."""

    name: Literal["layernorm_simple"] = "layernorm_simple"


def norm_names(model: "nn.Module", roles: "Roles", options: NormsConfig) -> list[str]:
    """Full names of the norms that train, which are the language model's.

    Raises:
        ConfigError: One of ``target_modules`` matches no norm, or the model has no norms in its
            attention.
    """
    from lnt_core.models.parts import inside
    from lnt_core.models.roles import is_norm

    target_modules = options.target_modules
    if not target_modules:
        extra = ("attention_norm",) if options.attention_norms else ()
        return list(roles.require("norm", *extra))
    norms = [
        name
        for name, module in model.named_modules()
        if is_norm(module) and inside(name, roles.language)
    ]
    ends = {
        target: [n for n in norms if f".{n}".endswith(f".{target}")] for target in target_modules
    }
    for target, found in ends.items():
        if not found:
            known = sorted({name.rpartition(".")[2] for name in norms})
            raise ConfigError(bad_field("strategy.target_modules", target, allowed=known))
    chosen = {name for found in ends.values() for name in found}
    return [name for name in norms if name in chosen]


@register("layernorm")
class LayerNorm(Strategy[LayerNormConfig]):
    """Train the norms of the language model, and the shared parts."""

    Config: ClassVar[type[StrategyConfig]] = LayerNormConfig
    label: ClassVar[str] = "LayerNorm"
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: LayerNormConfig) -> "nn.Module":
        from peft import LNTuningConfig

        return wrap(
            model,
            LNTuningConfig(
                target_modules=norm_names(model, roles, options),
                modules_to_save=list(roles.shared),
            ),
            roles,
        )


@register("layernorm_simple")
class LayerNormSimple(Strategy[LayerNormSimpleConfig]):
    """Train only the norms of the language model."""

    Config: ClassVar[type[StrategyConfig]] = LayerNormSimpleConfig
    label: ClassVar[str] = "LayerNorm-simp."
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def apply(
        self, model: "nn.Module", roles: "Roles", options: LayerNormSimpleConfig
    ) -> "nn.Module":
        from peft import LNTuningConfig

        names = norm_names(model, roles, options)
        return wrap(model, LNTuningConfig(target_modules=names), roles)
