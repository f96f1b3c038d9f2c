"""AdaLoRA: low-rank updates whose ranks are allocated by importance during training."""

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import override

from lnt_core.strategies.base import MAX_WIDTH, Strategy, StrategyConfig, register
from lnt_core.strategies.peft_model import Targets, target_names, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from lnt_core.models.roles import Roles

FACTOR = re.compile(r"\.lora_[ABE]\.default$")
"""Matches PEFT's names of the parameters that make up the singular triplets."""
STATISTICS = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""Attributes of PEFT's rank allocator: importance of each weight, and its moving averages."""


class AdaLoraConfig(StrategyConfig):
    """Options of AdaLoRA, which reduces the mean rank from ``init_rank`` to ``target_rank``."""

    name: Literal["adalora"] = "adalora"
    init_rank: int = Field(default=12, ge=2, le=MAX_WIDTH)
    """Rank of each update at the start."""
    target_rank: int = Field(default=8, ge=1)
    """Mean rank of the updates at the end."""
    alpha: float = Field(default=32.0, gt=0)
    """The update is scaled by alpha / init_rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Targets = "linear"
    """Which linear layers of each block get an update."""
    initial_ratio: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps, at the start, before ranks are reduced."""
    final_ratio: float = Field(default=0.3, ge=0, lt=1)
    """Share of the steps, at the end, in which the ranks no longer change."""
    allocate_every_steps: int = Field(default=1, ge=1)
    """Steps between two allocations of the ranks."""
    orthogonal_weight: float = Field(default=0.5, ge=0)
    """Weight of the penalty that keeps the singular vectors orthogonal."""
    train_base: bool = False
    """Also train connector, word embedding and output head."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.target_rank >= self.init_rank:
            raise ValueError(
                f"`target_rank` ({self.target_rank}) must be below `init_rank` ({self.init_rank}), "
                "because AdaLoRA reduces ranks"
            )
        if self.initial_ratio + self.final_ratio >= 1:
            raise ValueError(
                "the sum of `initial_ratio` and `final_ratio` must be below 1, to leave steps in "
                "which ranks are reduced"
            )
        return self


@register("adalora")
class AdaLora(Strategy[AdaLoraConfig]):
    """Train singular triplets beside each linear layer; zero out the least important ones."""

    Config: ClassVar[type[StrategyConfig]] = AdaLoraConfig
    label: ClassVar[str] = "AdaLoRA"
    source: ClassVar[str] = "Zhang et al., AdaLoRA, arXiv:2303.10512"

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: AdaLoraConfig) -> "nn.Module":
        import peft

        config = peft.AdaLoraConfig(
            init_r=options.init_rank,
            target_r=options.target_rank,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            deltaT=options.allocate_every_steps,
            orth_reg_weight=options.orthogonal_weight,
            total_step=1,  # PEFT requires a value; `begin` sets the real one
            target_modules=target_names(roles, options.targets),
            modules_to_save=list(roles.shared) if options.train_base else None,
        )
        tuned = wrap(model, config, roles)
        for name, parameter in tuned.named_parameters():
            if "ranknum" in name:  # a count; on the meta device PEFT leaves it trainable
                parameter.requires_grad_(False)
        self._options = options
        return tuned

    @override
    def begin(self, model: "nn.Module", num_steps: int) -> None:
        config: Any = model.peft_config["default"]  # type: ignore[index]
        config.total_step = num_steps
        config.tinit = int(self._options.initial_ratio * num_steps)
        config.tfinal = int(self._options.final_ratio * num_steps)

    @override
    def penalty(self, model: "nn.Module") -> "Tensor | None":
        """Weighted mean of ``|P P' - I|`` over the singular factors ``P``.

        PEFT adds it only to a loss that its own ``forward`` computes.
        """
        import torch

        weight = self._options.orthogonal_weight
        if weight == 0:
            return None
        terms = []
        for name, factor in model.named_parameters():
            if "lora_A.default" in name or "lora_B.default" in name:
                product = factor @ factor.T if "lora_A" in name else factor.T @ factor
                unit = torch.eye(len(product), device=product.device, dtype=product.dtype)
                terms.append(torch.linalg.matrix_norm(product - unit))
        return weight * torch.stack(terms).mean()

    @override
    def after_step(self, model: "nn.Module", step: int) -> None:
        model.base_model.update_and_allocate(step)  # type: ignore[operator,union-attr]

    @override
    def used_between_steps(self, model: "nn.Module") -> "Sequence[nn.Parameter]":
        """All singular triplets: PEFT's allocator reads them, and zeroes singular values."""
        return [p for name, p in model.named_parameters() if FACTOR.search(name)]

    @override
    def state(self, model: "nn.Module") -> dict[str, Any]:
        allocator: Any = model.base_model.rankallocator  # type: ignore[union-attr]
        pattern = allocator.peft_config.rank_pattern
        return {name: getattr(allocator, name) for name in STATISTICS} | {"rank_pattern": pattern}

    @override
    def load_state(self, model: "nn.Module", state: dict[str, Any]) -> None:
        allocator: Any = model.base_model.rankallocator  # type: ignore[union-attr]
        for name in STATISTICS:
            setattr(allocator, name, state[name])
        allocator.peft_config.rank_pattern = state["rank_pattern"]
