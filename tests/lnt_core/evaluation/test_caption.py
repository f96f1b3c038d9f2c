"""Captions by weights on disk: the same with the base by name and from a merged checkpoint."""

from pathlib import Path

import pytest
import torch

from lnt_core.data.samples import load_samples
from lnt_core.errors import ConfigError
from lnt_core.evaluation.caption import Captioner, read_images, write_merged
from lnt_core.models.build import load_base
from lnt_core.models.plain import MERGED
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.strategies.weights import save_connector, save_weights


@pytest.fixture
def images(scenes) -> list[Path]:
    return [sample.images[0] for sample in load_samples(scenes.tune, seed=0)[:3]]


@pytest.mark.parametrize("strategy", ["lora", "attn_qv"])
def test_both_ways_of_loading_give_the_same_captions(
    strategy, trial_config, images, tmp_path
) -> None:
    config = trial_config(strategy={"name": strategy})
    base = load_base(config.model, cache=tmp_path)
    model = get_strategy(strategy).apply(base.trial_copy(), base.roles, config.strategy)
    own_trainable(model)
    with torch.no_grad():
        for parameter in filter(lambda p: p.requires_grad, model.parameters()):
            parameter += 0.2 * torch.randn_like(parameter)
    save_weights(model, tmp_path, strategy=config.strategy, base_name="base")
    save_connector(base, tmp_path)
    opened = read_images(images)
    on_base = Captioner.load(config, tmp_path, cache=tmp_path).caption(opened)
    other = Captioner.load(config, tmp_path, cache=tmp_path).caption(opened, "Who is on sand?")
    write_merged(config, tmp_path, tmp_path / MERGED, cache=tmp_path)
    assert Captioner.load(config, tmp_path, cache=tmp_path).caption(opened) == on_base
    assert len(on_base) == 3
    assert all(on_base)
    assert other != on_base


def test_every_image_that_cannot_be_read_is_named(images, tmp_path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    missing = tmp_path / "missing.png"
    with pytest.raises(ConfigError) as raised:
        read_images([images[0], text, missing])
    assert f"{missing}: there is no such file" in str(raised.value)
    assert f"{text} cannot be decoded" in str(raised.value)
    assert str(images[0]) not in str(raised.value)
