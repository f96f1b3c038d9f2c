"""LoRA on linear layers of the language model, with connector, word embedding and output head."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from lnt_core.strategies.base import MAX_WIDTH, Strategy, StrategyConfig, register
from lnt_core.strategies.peft_model import Targets, target_names, wrap

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class LoraConfig(StrategyConfig):
    """Options of LoRA. The parameter counts in the paper are those of rank 64."""

    name: Literal["lora"] = "lora"
    rank: int = Field(default=32, ge=1, le=MAX_WIDTH)
    """Rank of each update; more than the width of a layer adds nothing."""
    alpha: float = Field(default=64.0, gt=0)
    """The update is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = "linear"
    """Which linear layers of each block get an update."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (Kalajdzievski, arXiv:2312.03732)."""
    dora: bool = False
    """Decompose weights into magnitude and direction (DoRA: Liu et al., arXiv:2402.09353)."""
    train_base: bool = True
    """Also train connector, word embedding and output head, as the paper does."""


@register("lora")
class Lora(Strategy[LoraConfig]):
    """Train a low-rank update of each targeted linear layer and, by default, the shared parts."""

    Config: ClassVar[type[StrategyConfig]] = LoraConfig
    label: ClassVar[str] = "LoRA"
    source: ClassVar[str] = "Hu et al., LoRA, arXiv:2106.09685"

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: LoraConfig) -> "nn.Module":
        import peft

        return wrap(
            model,
            peft.LoraConfig(
                r=options.rank,
                lora_alpha=options.alpha,
                lora_dropout=options.dropout,
                use_rslora=options.rslora,
                use_dora=options.dora,
                target_modules=target_names(roles, options.targets),
                modules_to_save=list(roles.shared) if options.train_base else None,
            ),
            roles,
        )
