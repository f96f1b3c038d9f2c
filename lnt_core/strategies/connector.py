"""Connector tuning: the connector alone, an ablation of the paper."""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.strategies.base import StrategyConfig, TrainParts, register

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles


class ConnectorConfig(StrategyConfig):
    """No options."""

    name: Literal["connector"] = "connector"


@register("connector")
class Connector(TrainParts[ConnectorConfig]):
    """Train only the connector."""

    Config: ClassVar[type[StrategyConfig]] = ConnectorConfig
    label: ClassVar[str] = "Connector"
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def parts(self, roles: "Roles") -> tuple[str, ...]:
        return roles.require("connector")
