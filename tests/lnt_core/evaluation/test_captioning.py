"""Captioning in batches."""

import pytest

from lnt_core.config import SelectConfig
from lnt_core.evaluation.captioning import CaptioningTask
from lnt_core.models.features import FeatureStore
from tests.lnt_core.strategies.trained import options, trained


@pytest.mark.parametrize("name", ["prefix", "prompt", "adapter_serial", "adapter_parallel"])
def test_captions_in_a_batch_are_those_one_by_one(name, base, scenes) -> None:
    select = SelectConfig.model_validate(
        scenes.select.model_dump() | {"split": "val", "max_new_tokens": 8}
    )
    model, store = trained(base, scenes, options(name)), FeatureStore(base, max_bytes=2**20)
    captions = {}
    for size in (1, 4):
        task = CaptioningTask(
            select.model_copy(update={"batch_size": size}), "val", base.conversations, seed=0
        )
        captions[size] = task.evaluate(model, store).captions
    assert captions[1] == captions[4]
    untuned = CaptioningTask(select, "val", base.conversations, seed=0)
    assert untuned.evaluate(base.trial_copy(), store).captions != captions[4]
