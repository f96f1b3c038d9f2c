"""LayerNorm tuning: the norms of the language model, with or without the shared parts.

The shared parts are connector, word embedding and output head: the paper's main method trains them
too, its ablation trains the norms alone. Both use PEFT's LN tuning with every target named, because
PEFT's default for LLaVA includes projector and embedding.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.errors import ConfigError, bad_field
from lnt_core.strategies.base import Strategy, StrategyConfig, register
from lnt_core.strategies.peft_model import wrap

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class LayerNormConfig(StrategyConfig):
    """Options of LayerNorm tuning."""

    name: Literal["layernorm"] = "layernorm"
    target_modules: tuple[str, ...] = ()
    """Suffixes of the norms' names, as in PEFT: `[input_layernorm, norm]`. Default: the norms of
    each block outside its attention, and the final norm."""


class LayerNormSimpleConfig(StrategyConfig):
    """Options of LayerNorm tuning without the shared parts."""

    name: Literal["layernorm_simple"] = "layernorm_simple"
    target_modules: tuple[str, ...] = ()
    """Same as for `layernorm`."""


def norm_names(model: "nn.Module", roles: "Roles", target_modules: tuple[str, ...]) -> list[str]:
    """Full names of the norms that train; those of the vision tower are excluded.

    Raises:
        ConfigError: One of ``target_modules`` matches no norm.
    """
    from lnt_core.models.roles import is_norm

    if not target_modules:
        return list(roles.require("norm"))
    vision = f"{roles.vision}." if roles.vision else None
    norms = [
        name
        for name, module in model.named_modules()
        if is_norm(module) and not (vision and name.startswith(vision))
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
                target_modules=norm_names(model, roles, options.target_modules),
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

        names = norm_names(model, roles, options.target_modules)
        return wrap(model, LNTuningConfig(target_modules=names), roles)
