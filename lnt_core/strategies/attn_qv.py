"""Attention tuning: query and value projections, with connector, word embedding, output head."""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.strategies.base import StrategyConfig, TrainParts, register

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles


class AttnQVConfig(StrategyConfig):
    """No options."""

    name: Literal["attn_qv"] = "attn_qv"


@register("attn_qv")
class AttnQV(TrainParts[AttnQVConfig]):
    """Train the q and v projections of each block, and the shared parts."""

    Config: ClassVar[type[StrategyConfig]] = AttnQVConfig
    label: ClassVar[str] = "Attn. QV Proj."
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def parts(self, roles: "Roles") -> tuple[str, ...]:
        return (*roles.require("attn_q", "attn_v"), *roles.shared)
