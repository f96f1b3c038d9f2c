"""MLP tuning: the MLP of each block, with connector, word embedding and output head."""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.strategies.base import StrategyConfig, TrainParts, register

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles


class AttnMLPConfig(StrategyConfig):
    """No options."""

    name: Literal["attn_mlp"] = "attn_mlp"


@register("attn_mlp")
class AttnMLP(TrainParts[AttnMLPConfig]):
    """Train the linear layers of each block outside its attention, and the shared parts."""

    Config: ClassVar[type[StrategyConfig]] = AttnMLPConfig
    label: ClassVar[str] = "Attn. MLP"
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def parts(self, roles: "Roles") -> tuple[str, ...]:
        return (*roles.require("mlp"), *roles.shared)
