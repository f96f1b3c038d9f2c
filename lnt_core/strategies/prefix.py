"""Prefix tuning: trained keys and values before those of the input, in every layer."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import override

from lnt_core.strategies.base import (
    MAX_VIRTUAL_TOKENS,
    MAX_WIDTH,
    Strategy,
    StrategyConfig,
    register,
)
from lnt_core.strategies.peft_model import check_takes_prompts, wrap

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class PrefixConfig(StrategyConfig):
    """Options of prefix tuning."""

    name: Literal["prefix"] = "prefix"
    num_tokens: int = Field(default=20, ge=1, le=MAX_VIRTUAL_TOKENS)
    """Number of virtual tokens before the input, in every layer."""
    reparameterise: bool = True
    """Train the prefix through an MLP, which is dropped when the weights are saved."""
    hidden_size: int | None = Field(default=512, ge=1, le=MAX_WIDTH)
    """Width of that MLP; None without `reparameterise`."""

    @model_validator(mode="before")
    @classmethod
    def _hidden_size_of_mlp(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("reparameterise", True) is not False:
            return values
        if values.get("hidden_size") is not None:
            raise ValueError(
                "`hidden_size` is the width of the MLP, which `reparameterise: false` leaves out"
            )
        return values | {"hidden_size": None}


@register("prefix")
class Prefix(Strategy[PrefixConfig]):
    """Train the keys and values of virtual tokens in every layer."""

    Config: ClassVar[type[StrategyConfig]] = PrefixConfig
    label: ClassVar[str] = "Prefix tuning"
    source: ClassVar[str] = "Li and Liang, Prefix-Tuning, arXiv:2101.00190"
    merges: ClassVar[bool] = False
    starts_at_base: ClassVar[bool] = False
    allows_checkpointing: ClassVar[bool] = False
    """The prefix is passed as a key/value cache, which transformers drops when it recomputes."""

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: PrefixConfig) -> "nn.Module":
        from peft import PrefixTuningConfig, TaskType

        check_takes_prompts(model, roles, options.name)
        config = PrefixTuningConfig(
            task_type=TaskType.CAUSAL_LM,
            num_virtual_tokens=options.num_tokens,
            prefix_projection=options.reparameterise,
            encoder_hidden_size=options.hidden_size,
        )
        return wrap(model, config, roles)
