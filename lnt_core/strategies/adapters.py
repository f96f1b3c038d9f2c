"""Adapter tuning: bottleneck networks after or beside the attention and the MLP of each block."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field
from typing_extensions import override

from lnt_core.strategies.base import MAX_WIDTH, Strategy, StrategyConfig, register, train_parts

if TYPE_CHECKING:
    from torch import nn

    from lnt_core.models.roles import Roles


class AdapterConfig(StrategyConfig):
    """Options of serial and parallel adapters."""

    width: int = Field(default=64, ge=1, le=MAX_WIDTH)
    """Channels of the bottleneck."""
    scale: float = Field(default=1.0, gt=0)
    """Factor of the adapter's output; He et al. use 4 with parallel adapters."""
    places: Literal["attention_mlp", "attention", "mlp"] = "attention_mlp"
    """Which modules of each block get an adapter."""
    train_base: bool = False
    """Also train connector, word embedding and output head."""


class AdapterSerialConfig(AdapterConfig):
    """Options of serial adapters."""

    name: Literal["adapter_serial"] = "adapter_serial"


class AdapterParallelConfig(AdapterConfig):
    """Options of parallel adapters."""

    name: Literal["adapter_parallel"] = "adapter_parallel"


class _Adapters(Strategy[AdapterConfig]):
    """What serial and parallel adapters share."""

    merges: ClassVar[bool] = False
    parallel: ClassVar[bool]

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: AdapterConfig) -> "nn.Module":
        from lnt_core.strategies.bottleneck import attach

        attach(
            model,
            roles,
            width=options.width,
            scale=options.scale,
            places=options.places,
            parallel=self.parallel,
        )
        train_parts(model, roles.shared if options.train_base else ())
        return model


@register("adapter_serial")
class AdapterSerial(_Adapters):
    """Train an adapter after the attention and after the MLP of each block."""

    Config: ClassVar[type[StrategyConfig]] = AdapterSerialConfig
    label: ClassVar[str] = "Adapter (serial)"
    source: ClassVar[str] = "Houlsby et al., Parameter-Efficient Transfer, arXiv:1902.00751"
    parallel: ClassVar[bool] = False


@register("adapter_parallel")
class AdapterParallel(_Adapters):
    """Train an adapter beside the attention and beside the MLP of each block."""

    Config: ClassVar[type[StrategyConfig]] = AdapterParallelConfig
    label: ClassVar[str] = "Adapter (parallel)"
    source: ClassVar[str] = "He et al., A Unified View of PEFT, arXiv:2110.04366"
    parallel: ClassVar[bool] = True
