"""What a tuning strategy is, and the registry of them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from typing_extensions import override

from lnt_core.errors import ConfigError, bad_field
from lnt_core.frozen import Frozen

if TYPE_CHECKING:  # so that reading a config does not import torch
    from torch import Tensor, nn

    from lnt_core.models.roles import Roles


class StrategyConfig(Frozen):
    """Base of every strategy's options."""

    name: str


STAND_IN = re.compile(r"\.(modules_to_save|ln_tuning_layers)\.default")
"""What PEFT puts into the name of a trained copy."""
Options = TypeVar("Options", bound=StrategyConfig)


class Strategy(ABC, Generic[Options]):
    """What trains, given a model and the roles of its parts. One instance serves one trial."""

    Config: ClassVar[type[StrategyConfig]]
    label: ClassVar[str]
    """The paper's name for it."""
    source: ClassVar[str]
    starts_at_base: ClassVar[bool] = True
    """At step 0 the tuned model's output is the base's, bit for bit."""
    allows_checkpointing: ClassVar[bool] = True
    """Works with gradient checkpointing."""
    merges: ClassVar[bool] = True
    """What it trained can become weights of the base's own architecture, with the same output."""

    @abstractmethod
    def apply(self, model: "nn.Module", roles: "Roles", options: Options) -> "nn.Module":
        """Make exactly the strategy's parameters trainable.

        Args:
            model: A copy of the base model of which every parameter is frozen.
            roles: Names of its parts.
            options: The strategy's own options.

        Returns:
            ``model`` itself, or a PEFT model around it.

        Raises:
            ConfigError: The model lacks what the strategy tunes.
        """

    def begin(self, model: "nn.Module", num_steps: int) -> None:
        """Told before the first step of how many optimiser steps there will be."""

    def penalty(self, model: "nn.Module") -> "Tensor | None":
        """What is added to the loss of a step, a scalar; it is not in ``train/loss``."""
        return None

    def after_step(self, model: "nn.Module", step: int) -> None:
        """Called after each optimiser step, from 1 on, while the gradients are still there."""

    def used_between_steps(self, model: "nn.Module") -> "Sequence[nn.Parameter]":
        """Trained parameters that :meth:`penalty` and :meth:`after_step` read or change.

        DeepSpeed keeps parameters and gradients in parts: these are put together for the two, and
        only what was done to these is kept.
        """
        return ()

    def state(self, model: "nn.Module") -> dict[str, Any]:
        """What a checkpoint must hold besides trained tensors; tensors and plain values."""
        return {}

    def load_state(self, model: "nn.Module", state: dict[str, Any]) -> None:
        """Put back what :meth:`state` gave."""


STRATEGIES: dict[str, type[Strategy]] = {}  # type: ignore[type-arg]
Registered = TypeVar("Registered", bound=type[Strategy])  # type: ignore[type-arg]


def register(name: str) -> Callable[[Registered], Registered]:
    """Add a strategy under the ``name`` that its Config declares."""

    def add(strategy: Registered) -> Registered:
        declared = strategy.Config.model_fields["name"].default
        if declared != name or name in STRATEGIES:
            raise ValueError(f"cannot register {name!r}: Config says {declared!r}, or it is taken")
        STRATEGIES[name] = strategy
        return strategy

    return add


def get_strategy(name: str) -> Strategy:  # type: ignore[type-arg]
    """The strategy of that name, or a ConfigError that lists them."""
    if name not in STRATEGIES:
        raise ConfigError(bad_field("strategy", name, allowed=STRATEGIES))
    return STRATEGIES[name]()


def in_base(name: str) -> str:
    """The name in the base model of a parameter of a tuned one; what PEFT put in is taken out.

    Example:
        >>> in_base("base_model.model.lm_head.modules_to_save.default.weight")
        'lm_head.weight'
    """
    return STAND_IN.sub("", name.removeprefix("base_model.model."))


class TrainModules(Strategy[Options]):
    """A strategy that trains weights of the model itself, named by role."""

    @abstractmethod
    def modules(self, roles: "Roles") -> tuple[str, ...]:
        """Names of the modules of which every parameter trains."""

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: Options) -> "nn.Module":
        for name in self.modules(roles):
            model.get_submodule(name).requires_grad_(True)
        return model
