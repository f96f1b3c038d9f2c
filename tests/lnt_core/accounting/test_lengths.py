"""Estimated lengths of conversations when the data cannot be read."""

from lnt_core.accounting.lengths import estimated_lengths
from lnt_core.config import DataConfig, ModelConfig, ScenesConfig


def test_lengths_of_drawn_scenes_are_near_those_of_real_text() -> None:
    lengths = estimated_lengths(
        DataConfig(scenes=ScenesConfig()),
        ModelConfig(tiny=True),
        image_tokens=36,
        max_length=2048,
        seed=0,
        files=False,
    )
    assert lengths.num_samples == 15_000
    assert 36 + 8 < lengths.mean < lengths.longest < 36 + 40
