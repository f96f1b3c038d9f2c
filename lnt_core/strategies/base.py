"""The base class of tuning strategies, and their registry."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from typing_extensions import override

from lnt_core.errors import ConfigError, bad_field
from lnt_core.frozen import Frozen

if TYPE_CHECKING:  # reading a config must not import torch
    from torch import Tensor, nn

    from lnt_core.models.roles import Roles


class StrategyConfig(Frozen):
    """Base class of the strategies' options."""

    name: str


MAX_WIDTH = 16_384
"""Bound of ranks and widths: the hidden size of the largest open LLaMA (405B)."""
MAX_VIRTUAL_TOKENS = 4096
"""Bound of trained tokens before the input: the whole context of LLaMA-2."""
STAND_IN = re.compile(r"\.(modules_to_save|ln_tuning_layers)\.default")
"""Matches what PEFT inserts into the name of a parameter's trained copy."""
Options = TypeVar("Options", bound=StrategyConfig)


class Strategy(ABC, Generic[Options]):
    """Decides which parameters of a model train. Each trial uses an instance of its own."""

    Config: ClassVar[type[StrategyConfig]]
    label: ClassVar[str]
    """Display name; for the paper's strategies, the name used there."""
    source: ClassVar[str]
    """Authors, title and arXiv id of the paper that describes it."""
    starts_at_base: ClassVar[bool] = True
    """Before the first step, the tuned model's output equals the base model's bit for bit."""
    allows_checkpointing: ClassVar[bool] = True
    """The strategy works with gradient checkpointing."""
    merges: ClassVar[bool] = True
    """The result can be saved in the base model's own architecture, with the same output."""

    @abstractmethod
    def apply(self, model: "nn.Module", roles: "Roles", options: Options) -> "nn.Module":
        """Make exactly the strategy's parameters trainable.

        Args:
            model: A copy of the base model with every parameter frozen.
            roles: Names of the model's parts.
            options: The strategy's options.

        Returns:
            ``model`` itself, or a PEFT model around it.

        Raises:
            ConfigError: The model lacks what the strategy tunes.
        """

    def begin(self, model: "nn.Module", num_steps: int) -> None:
        """Called before the first optimizer step, with the number of steps to come."""

    def penalty(self, model: "nn.Module") -> "Tensor | None":
        """Scalar to add to the loss of each step, or None; not included in ``train/loss``."""
        return None

    def after_step(self, model: "nn.Module", step: int) -> None:
        """Called after each optimizer step, before the gradients are cleared; steps start at 1."""

    def used_between_steps(self, model: "nn.Module") -> "Sequence[nn.Parameter]":
        """Trained parameters that :meth:`penalty` and :meth:`after_step` read or change.

        Where DeepSpeed shards parameters or gradients, these are gathered for both methods; changes
        of other parameters are lost.
        """
        return ()

    def state(self, model: "nn.Module") -> dict[str, Any]:
        """State to checkpoint besides the trained tensors: tensors and plain values."""
        return {}

    def load_state(self, model: "nn.Module", state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""


STRATEGIES: dict[str, type[Strategy]] = {}  # type: ignore[type-arg]
Registered = TypeVar("Registered", bound=type[Strategy])  # type: ignore[type-arg]


def register(name: str) -> Callable[[Registered], Registered]:
    """Class decorator that registers a strategy under the ``name`` in its Config.

    Raises:
        ValueError: The Config has another name, or the name is taken.
    """

    def add(strategy: Registered) -> Registered:
        declared = strategy.Config.model_fields["name"].default
        if declared != name or name in STRATEGIES:
            raise ValueError(
                f"cannot register strategy {name!r}: its Config is named {declared!r}, or the name "
                "is already registered"
            )
        STRATEGIES[name] = strategy
        return strategy

    return add


def get_strategy(name: str) -> Strategy:  # type: ignore[type-arg]
    """A new instance of the strategy called ``name``.

    Raises:
        ConfigError: There is no such strategy; lists those that exist.
    """
    if name not in STRATEGIES:
        raise ConfigError(bad_field("strategy", name, allowed=STRATEGIES))
    return STRATEGIES[name]()


def in_base(name: str) -> str:
    """The name that a parameter of a tuned model has in the base model, without PEFT's additions.

    Example:
        >>> in_base("base_model.model.lm_head.modules_to_save.default.weight")
        'lm_head.weight'
    """
    return STAND_IN.sub("", name.removeprefix("base_model.model."))


def base_of(model: "nn.Module") -> "nn.Module":
    """The model without PEFT's wrapper; the names in ``Roles`` refer to this one."""
    base: nn.Module = getattr(model, "get_base_model", lambda: model)()
    return base


def train_parts(model: "nn.Module", parts: "Sequence[str]") -> None:
    """Make modules, and raw parameters, of these names trainable."""
    from lnt_core.models.roles import parameters_of

    for parameter in parameters_of(model, parts).values():
        parameter.requires_grad_(True)


class TrainParts(Strategy[Options]):
    """Base class of strategies that train parts of the model itself and add none."""

    @abstractmethod
    def parts(self, roles: "Roles") -> tuple[str, ...]:
        """Names of the modules and raw parameters to train as a whole."""

    @override
    def apply(self, model: "nn.Module", roles: "Roles", options: Options) -> "nn.Module":
        train_parts(model, self.parts(roles))
        return model
