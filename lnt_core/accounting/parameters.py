"""Counts trainable parameters: their number, their share of all, and their number by role."""

from dataclasses import dataclass

from torch import nn

from lnt_core.distributed.sharded import shape_of
from lnt_core.errors import TrialError
from lnt_core.models.roles import Roles, parameters_of
from lnt_core.strategies.base import in_base
from lnt_core.strategies.bottleneck import CHILD

ADDED = ("lora_", "prompt_encoder", CHILD)
"""Name parts of parameters that a strategy adds to the model."""


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of parameters of a model with a strategy applied; tied parameters count once."""

    total: int
    """Those of the base model, vision tower included, and those that the strategy added. A frozen
    original that a trained copy replaces is not counted."""
    trainable: int

    @property
    def share(self) -> float:
        """Trainable share of all parameters, 0..1."""
        return self.trainable / self.total


def count_parameters(model: nn.Module, *, left_out: int = 0) -> ParameterCount:
    """Count the parameters of a model with a strategy applied.

    Args:
        model: With or without PEFT's wrapper.
        left_out: Number of the base model's parameters that ``model`` lacks: those of the vision
            tower in a trial's copy.

    Raises:
        TrialError: No parameter is trainable.
    """
    shadowed = _shadowed(model)
    counted = {id(p): p for n, p in model.named_parameters() if id(p) not in shadowed}
    trainable = sum(num_elements(p) for p in counted.values() if p.requires_grad)
    if trainable == 0:
        raise TrialError(f"the strategy trains no parameter of {type(model).__name__}")
    total = sum(num_elements(p) for p in counted.values()) + left_out
    return ParameterCount(total=total, trainable=trainable)


def num_left_out(model: nn.Module, base: nn.Module, roles: Roles) -> int:
    """Number of parameters of the base's vision tower that a trial's copy of it lacks."""
    own = {in_base(name) for name, _ in model.named_parameters()}
    tower = parameters_of(base, roles.require("vision"))
    return sum(num_elements(parameter) for name, parameter in tower.items() if name not in own)


def num_elements(parameter: nn.Parameter) -> int:
    """Number of elements of the whole parameter, also if ZeRO-3 shards it."""
    return shape_of(parameter).numel()


def _shadowed(model: nn.Module) -> set[int]:
    """Ids of frozen parameters that PEFT keeps beside trained copies of them."""
    originals = [
        module.original_module if hasattr(module, "modules_to_save") else module.base_layer
        for module in model.modules()
        if (hasattr(module, "modules_to_save") and hasattr(module, "original_module"))
        or (hasattr(module, "ln_tuning_layers") and hasattr(module, "base_layer"))
    ]
    return {id(p) for original in originals for p in original.parameters()}  # type: ignore[union-attr]


def count_by_role(model: nn.Module, roles: Roles) -> dict[str, int]:
    """Number of trainable parameters by role; roles without any are left out.

    Three names are not those of roles: ``attn`` for linear layers of the attention other than q
    and v, ``added`` for parameters that the strategy added, ``other`` for those without a role. A
    tied embedding and head count as ``embedding``.
    """
    role_of = _role_of_module(roles)
    counts: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            role = _role_of_parameter(name, role_of)
            counts[role] = counts.get(role, 0) + num_elements(parameter)
    return counts


def _role_of_module(roles: Roles) -> dict[str, str]:
    named = dict.fromkeys(roles.attn, "attn")
    for role in ("norm", "attn_q", "attn_v", "mlp"):
        named |= dict.fromkeys(getattr(roles, role), role)
    named |= {roles.embedding: "embedding", roles.head: "head"}
    return named | dict.fromkeys(roles.connector, "connector")


def _role_of_parameter(name: str, role_of: dict[str, str]) -> str:
    if any(part in name for part in ADDED):
        return "added"
    part = in_base(name)
    while part and part not in role_of:
        part = part.rpartition(".")[0]
    return role_of.get(part, "other")
