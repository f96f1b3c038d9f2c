"""Connector tuning: the connector alone, an ablation of the paper."""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.strategies.base import StrategyConfig, TrainModules, register

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles


class ConnectorConfig(StrategyConfig):
    """No options."""

    name: Literal["connector"] = "connector"


@register("connector")
class Connector(TrainModules[ConnectorConfig]):
    """Train only the connector."""

    Config: ClassVar[type[StrategyConfig]] = ConnectorConfig
    label: ClassVar[str] = "Connector"
    source: ClassVar[str] = "Zhao et al., Tuning LayerNorm in Attention, arXiv:2312.11420"

    @override
    def modules(self, roles: "Roles") -> tuple[str, ...]:
        return roles.require("connector")
