"""Predicted memory of generation: the cache of keys and values."""

import pytest

from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.step import StepShape
from lnt_core.devices.memory import GIB


def test_generation_holds_keys_and_values_of_all_tokens(base) -> None:
    prompts = StepShape(batch=8, tokens=300, image_tokens=16, feature_channels=32, answer_tokens=0)
    model = base.trial_copy()
    few, many = (
        predict_generation_gib(model, base.roles, prompts, max_new_tokens=new, bf16=False)
        for new in (0, 3000)
    )
    one_layer = 2 * 8 * 3300 * 32 * 4 / GIB
    assert many == pytest.approx(3 * one_layer)  # two layers, and one of them copied
    assert few < many
