"""ZeRO on one GPU and on two: losses beside the plain loop's, peaks beside the plan."""

import pytest

from tests.gpu.shapes import chosen
from tests.gpu.test_strategies import drift, peak_and_plan

pytestmark = pytest.mark.gpu
SHAPE = chosen()
OFFLOADED = {"stage": 2, "offload_optimizer": {"device": "cpu"}}
STAGES = {
    "zero1": "zero1",
    "zero2": "zero2",
    "zero3": "zero3",
    "offload": {"zero_optimization": OFFLOADED},
}
CASES = [(stage, precision) for stage in STAGES for precision in ("fp32", "bf16")]
if not SHAPE.on_gpu:
    CASES = [("zero3", "fp32")]
OFF = {"fp32": 1e-4, "bf16": 2e-2}
"""Relative difference from the plain loop. Assumed: fp32 sums in another order."""


@pytest.mark.needs("deepspeed")
@pytest.mark.parametrize(("stage", "precision"), CASES)
def test_one_worker(stage, precision, bench, row) -> None:
    """ZeRO on one worker"""
    _compare(stage, precision, bench, row, workers=1)


@pytest.mark.needs("deepspeed", "two gpus")
@pytest.mark.parametrize(("stage", "precision"), CASES)
def test_two_workers(stage, precision, bench, row) -> None:
    """ZeRO on two workers"""
    _compare(stage, precision, bench, row, workers=2)


def _compare(stage: str, precision: str, bench, row, *, workers: int) -> None:
    usual = bench.config("lora", precision=precision, micro_batch_size=2)
    plain = bench.trial(usual)
    train = usual.train.model_copy(update={"deepspeed": STAGES[stage]})
    seen = bench.apart(usual.model_copy(update={"train": train}), workers=workers)
    off, title = drift(seen.losses, plain.losses), f"{precision}, {workers} workers"
    if workers == 1:
        title = f"{precision}, 1 worker"
    limit = OFF[precision]
    row(f"ZeRO, {title}: losses off the plain loop's", off, f"< {limit:g}", off < limit, stage)
    if SHAPE.on_gpu:
        peak, plan = peak_and_plan(seen.metrics)
        ok = 0.9 < peak / plan < 1.1
        row(f"ZeRO, {title}: peak / plan", peak / plan, "0.9 to 1.1", ok, stage)
