"""Text for users: names of trials and benchmarks, learning rates, shares and counts."""

from collections.abc import Mapping
from typing import Any

from lnt_core.metrics import OBJECTIVES, selecting
from lnt_core.strategies import StrategyConfig
from sweeps.plan.space import NONE, Values


def label(strategy: StrategyConfig, rate: float, values: Values = NONE) -> str:
    """The name of a trial for users: ``lora rank=8 lr=3e-4``."""
    options = options_text(strategy, values)
    return " ".join(filter(None, (strategy.name, options, f"lr={short_rate(rate)}")))


def options_text(strategy: StrategyConfig, values: Values = NONE) -> str:
    """A strategy's non-default options and the varied values: ``rank=8 train.weight_decay=0.1``.

    Together with the learning rate, this distinguishes the trials of one strategy.
    """
    options = strategy.model_dump(
        mode="json", exclude={"name"}, exclude_defaults=True, exclude_none=True
    )
    return " ".join(f"{name}={_short(value)}" for name, value in [*options.items(), *values])


def _short(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def short_rate(rate: float) -> str:
    """A learning rate in scientific notation, at most three significant digits.

    Example:
        >>> short_rate(0.0003), short_rate(1.25e-05)
        ('3e-4', '1.25e-5')
    """
    mantissa, _, exponent = f"{rate:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def short_share(share: float) -> str:
    """A share as a percentage with two decimals, or three below 0.01 %.

    Example:
        >>> short_share(0.0378), short_share(0.0000383)
        ('3.78 %', '0.004 %')
    """
    percent = share * 100
    return f"{percent:.2f} %" if percent >= 0.01 else f"{percent:.3f} %"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun in the singular or plural.

    Args:
        number: How many.
        noun: The singular.
        plural: The plural; by default the singular with an ``s``.

    Example:
        >>> counted(1, "trial"), counted(2, "trial"), counted(0, "process", "processes")
        ('1 trial', '2 trials', '0 processes')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def benchmark_name(name: str) -> str:
    """The column of a task in `data.report`: its metric if people know it by that, else its name.

    Example:
        >>> benchmark_name("pope/f1"), benchmark_name("mme/mme"), benchmark_name("own/exact_match")
        ('POPE F1', 'MME', 'own exact match')
    """
    task, _, score = name.partition("/")
    label = OBJECTIVES[selecting(score)].label
    known = {"vqav2": "VQAv2", "pope": "POPE", "mme": "MME"}.get(task, task.replace("_", " "))
    if known == "VQAv2" or label == known:
        return known
    return f"{known} {label}"


def benchmark_score(name: str, scores: Mapping[str, float]) -> str:
    """The score on a task in `data.report`, or a dash if there is none.

    Example:
        >>> benchmark_score("pope/f1", {"pope/f1": 66.666}), benchmark_score("pope/f1", {})
        ('66.67', '-')
    """
    if name not in scores:
        return "-"
    return OBJECTIVES[selecting(name.partition("/")[2])].shown(scores[name])
