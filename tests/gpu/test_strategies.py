"""Every strategy at every precision: digits, resume, memory left behind, peak against plan."""

from functools import lru_cache

import pytest

from lnt_core import metrics as metric
from lnt_core.strategies import STRATEGIES
from tests.gpu.shapes import TINY, chosen
from tests.gpu.trials import STEPS

pytestmark = pytest.mark.gpu
SHAPE = chosen()
NAMES = list(STRATEGIES) if SHAPE.strategies_each else ["adalora"]
OFF = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 5e-2}
"""Relative difference from the CPU's losses in float32. Assumed: TF32 rounds factors to 1e-3 and
bfloat16 to 8e-3, and AdamW's first steps enlarge the difference."""


@pytest.fixture(scope="session")
def on_cpu(bench):
    """Losses of each strategy on the CPU, in float32."""
    return lru_cache(None)(
        lambda name: bench.trial(bench.config(name), bench.worker("cpu", "reference")).losses
    )


def drift(losses: list[float], expected: list[float]) -> float:
    """The largest relative difference of a step's loss."""
    return max(abs(a / b - 1) for a, b in zip(losses, expected, strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", SHAPE.precisions)
def test_a_strategy(precision, name, bench, on_cpu, row) -> None:
    """A strategy at a precision."""
    usual = bench.config(name, precision=precision)
    fixed = bench.config(name, precision=precision, deterministic=True)
    free = bench.trial(usual)
    again = bench.trial(usual)
    first, second = bench.trial(fixed), bench.trial(fixed)
    resumed = bench.trial(fixed, stop_after=STEPS - 1)
    away = drift(free.losses, on_cpu(name))
    limit = OFF[precision]
    row(f"{precision}: losses off the CPU's in fp32", away, f"< {limit:g}", away < limit, name)
    same = first.losses == second.losses
    row(f"{precision}, deterministic: same digits twice", same, "all", same, name)
    same = first.losses == resumed.losses
    row(f"{precision}, deterministic: stopped and resumed as undisturbed", same, "all", same, name)
    row(f"{precision}: same digits twice without it", free.losses == again.losses, of=name)
    cost = second.metrics[metric.TRAIN_S] / again.metrics[metric.TRAIN_S]
    row(f"{precision}: time of a deterministic trial / usual", cost, of=name)
    if SHAPE is TINY:  # a process on a CPU has no start that is exact
        return
    left = abs(second.metrics[metric.START_GIB] - first.metrics[metric.START_GIB]) * 1024
    row(f"{precision}: left behind by a trial, MiB", left, "< 1", left < 1, name)
    peak, plan = peak_and_plan(again.metrics)
    row(f"{precision}: peak / plan", peak / plan, "0.9 to 1.1", 0.9 < peak / plan < 1.1, name)


def peak_and_plan(metrics: dict[str, float]) -> tuple[float, float]:
    """GiB of the trial's own, with the frozen weights as planned: others may hold memory too."""
    plan = metrics[metric.PREDICTED_GIB]
    frozen = plan - metrics[metric.PREDICTED_TRAINING_GIB]
    return frozen + metrics[metric.TRAINING_GIB], plan
