"""Full finetuning: the whole language model and the connector."""

from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from lnt_core.strategies.base import StrategyConfig, TrainParts, register

if TYPE_CHECKING:
    from lnt_core.models.roles import Roles


class FullConfig(StrategyConfig):
    """No options."""

    name: Literal["full"] = "full"


@register("full")
class Full(TrainParts[FullConfig]):
    """Train everything except the vision tower."""

    Config: ClassVar[type[StrategyConfig]] = FullConfig
    label: ClassVar[str] = "Finetune"
    source: ClassVar[str] = "Liu et al., Visual Instruction Tuning, arXiv:2304.08485"

    @override
    def parts(self, roles: "Roles") -> tuple[str, ...]:
        return (roles.language, *roles.shared)
