"""What trials, rates and shares are called wherever people read."""

from typing import Any

from lnt_core.strategies import StrategyConfig
from sweeps.plan.space import NONE, Values


def label(strategy: StrategyConfig, rate: float, values: Values = NONE) -> str:
    """``lora rank=8 lr=3e-4``: how a trial is called wherever people read."""
    options = options_text(strategy, values)
    return " ".join(filter(None, (strategy.name, options, f"lr={short_rate(rate)}")))


def options_text(strategy: StrategyConfig, values: Values = NONE) -> str:
    """``rank=8 train.weight_decay=0.1``: what tells trials of one strategy apart but the rate."""
    options = strategy.model_dump(
        mode="json", exclude={"name"}, exclude_defaults=True, exclude_none=True
    )
    return " ".join(f"{name}={_short(value)}" for name, value in [*options.items(), *values])


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def short_rate(rate: float) -> str:
    """``3e-4`` for 0.0003: as papers write it.

    Example:
        >>> short_rate(0.0003), short_rate(1.25e-05)
        ('3e-4', '1.25e-5')
    """
    mantissa, _, exponent = f"{rate:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def short_share(share: float) -> str:
    """As the paper prints it: two decimals, three where two would leave nothing.

    Example:
        >>> short_share(0.0378), short_share(0.0000383)
        ('3.78 %', '0.004 %')
    """
    percent = share * 100
    return f"{percent:.2f} %" if percent >= 0.01 else f"{percent:.3f} %"
