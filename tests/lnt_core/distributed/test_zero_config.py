"""Validation of `train.deepspeed`."""

import pytest

from lnt_core.config import TuneConfig


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("zero4", "did you mean 'zero"),
        (2, "2 is neither one of zero1, zero2, zero3 nor a DeepSpeed config"),
        ({"zero_optimization": {"stage": 0}}, "must be 1, 2 or 3"),
        ({}, "`zero_optimization.stage` is None"),
        ({"zero_optimization": {"stage": 2}, "bf16": {}}, "is set from train.precision"),
    ],
)
def test_what_deepspeed_cannot_be_is_refused(value, said) -> None:
    with pytest.raises(ValueError, match=said):
        TuneConfig(deepspeed=value)
