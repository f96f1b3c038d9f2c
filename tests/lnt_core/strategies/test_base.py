"""Promises of all strategies: the image still matters, and missing parts are reported."""

import pytest
import torch

from lnt_core.errors import ConfigError
from lnt_core.models.roles import find_roles
from lnt_core.strategies import STRATEGIES, get_strategy
from tests.lnt_core.strategies.trained import inputs, options, trained


@pytest.mark.parametrize("name", STRATEGIES)
def test_captions_follow_the_image(name, base, scenes) -> None:
    model = trained(base, scenes, options(name), steps=2)
    one = inputs(base, scenes)
    with torch.no_grad():
        seen = model.eval()(**one).logits
        other = model(**one | {"pixel_values": one["pixel_values"] + 1.0}).logits
    assert not torch.allclose(seen, other, atol=1e-4)


@pytest.mark.parametrize("name", ["attn_qv", "attn_mlp", "lora", "adapter_serial", "connector"])
def test_a_model_without_the_part_is_refused(name) -> None:
    """GPT-2 fuses q, k and v in a layer of its own kind, and has no connector."""
    from transformers import AutoModelForCausalLM, GPT2Config

    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=2, n_embd=32, n_head=2))
    with pytest.raises(ConfigError, match="this model lacks a part that the strategy needs"):
        get_strategy(name).apply(model, find_roles(model), options(name))
