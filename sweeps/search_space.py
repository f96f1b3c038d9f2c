"""The search space of a sweep file: strategies, learning rates, other values, and the search."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from lnt_core.frozen import Frozen

PAPER_RATES = (2e-3, 1e-3, 6e-4, 3e-4, 1e-4, 5e-5, 2e-5, 1e-5, 6e-6, 1e-6, 1e-7)
"""11 values from 2e-3 to 1e-7. The ends and the count are those of Zhao et al., arXiv:2312.11420;
the values between are our choice."""
Rate = Annotated[float, Field(gt=0, lt=1)]
MAX_TRIALS = 10_000
"""Limit of a sweep's trials, each of which is a run in MLflow and a folder."""
MAX_VARIANTS = 1000
"""Limit of strategies with their options times other values: the cost of each is predicted."""
MAX_EXTENSIONS = 3
"""Limit of `extend_at_edge`: rates beyond each end of the grid, for a strategy with its options."""


class RateRange(Frozen):
    """A range from which `random` and `tpe` draw learning rates."""

    low: Rate
    high: Rate
    log: bool = True
    """Whether to draw uniformly in the logarithm of the rate."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"`low` ({self.low:g}) must be below `high` ({self.high:g})")
        return self


def _kind_of_rates(value: Any) -> str:
    """The union member to validate against, so that errors mention only that one."""
    if isinstance(value, dict | RateRange):
        return "range"
    return "list" if isinstance(value, list | tuple) else "paper"


def _paper(value: Any) -> Any:
    if value != "paper":
        raise ValueError(f"{value!r} is neither `paper`, nor a list, nor a range {{low, high}}")
    return value


Rates = Annotated[
    Annotated[Literal["paper"], BeforeValidator(_paper), Tag("paper")]
    | Annotated[tuple[Rate, ...], Tag("list")]
    | Annotated[RateRange, Tag("range")],
    Discriminator(_kind_of_rates),
]


class SearchConfig(Frozen):
    """The search space, and the algorithm that searches it."""

    strategy: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Strategies: a name, or a mapping of `name` and options. A list as an option's value means one
    strategy for each element."""
    learning_rate: Rates = "paper"
    """`paper` (its 11 rates), a list, or a range `{low, high, log}`."""
    values: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Other keys to vary, below `train` or `data.tune`, each with its values:
    `{train.weight_decay: [0.0, 0.1], data.tune.kinds: [[conversation], [detail]]}`."""
    algorithm: Literal["grid", "random", "tpe"] = "grid"
    num_trials: int | None = Field(default=None, ge=1, le=MAX_TRIALS)
    """How many trials to draw. Required for `random` and `tpe`; a grid is run in full."""
    scheduler: Literal["none", "asha"] = "none"
    """`asha` scores trials at rungs and stops the worse ones early (arXiv:1810.05934)."""
    reduction_factor: int = Field(default=3, ge=2, le=1000)
    """`asha`: of the trials at a rung, one in this many continues."""
    extend_at_edge: bool = False
    """`grid`: while the best rate of a strategy with its options is at an end of those tried, run
    the next rate beyond that end, in the grid's own spacing (``sweeps.driver.growth``)."""
    grace_ratio: float = Field(default=0.1, gt=0, lt=1)
    """`asha`: the first rung, as a fraction of a trial's optimizer steps."""

    @model_validator(mode="before")
    @classmethod
    def _names_are_strategies(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("strategy"), list | str):
            given = values["strategy"]
            listed = [given] if isinstance(given, str) else given
            strategies = [{"name": s} if isinstance(s, str) else s for s in listed]
            return {**values, "strategy": strategies}
        return values

    @field_validator("values")
    @classmethod
    def _hashable(cls, values: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        def frozen(key: str, value: Any) -> Any:
            parts = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(part, list | tuple | dict) for part in parts):
                raise ValueError(
                    f"a value of `{key}` is a mapping or nested list, but must be a number, a "
                    "text, null or a list of these"
                )
            return tuple(value) if isinstance(value, list) else value

        return {
            key: tuple(frozen(key, value) for value in listed) for key, listed in values.items()
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.learning_rate, tuple) and not self.learning_rate:
            raise ValueError("`learning_rate` is an empty list: give at least one rate")
        if self.algorithm == "grid":
            if isinstance(self.learning_rate, RateRange):
                raise ValueError("a range of learning rates needs `algorithm: random` or `tpe`")
            if self.num_trials is not None:
                raise ValueError("`num_trials` is for `random` and `tpe`; a grid is run in full")
            if self.extend_at_edge and len(set(self.rates)) < 2:
                raise ValueError(
                    "`extend_at_edge` continues the spacing of `learning_rate`: give at least two "
                    "rates"
                )
        elif self.extend_at_edge:
            raise ValueError(
                f"`extend_at_edge` is for a grid: `algorithm: {self.algorithm}` draws its rates "
                "from a range; widen the range instead"
            )
        elif self.num_trials is None:
            raise ValueError(f"`algorithm: {self.algorithm}` needs `num_trials`")
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, if they are listed; empty for a range."""
        if isinstance(self.learning_rate, RateRange):
            return ()
        return PAPER_RATES if self.learning_rate == "paper" else self.learning_rate
