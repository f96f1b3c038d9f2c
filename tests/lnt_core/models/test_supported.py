"""Which architectures are refused, and why."""

import functools

import pytest

from lnt_core.config import ModelConfig
from lnt_core.errors import ConfigError
from lnt_core.models.build import build_on_meta, load_base
from lnt_core.models.supported import check_supported
from tests.vlm_checkpoints import on_meta
from tests.vlm_families import FAMILIES

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
FUSED = {"text_config": {"model_type": "phi3", "pad_token_id": 0} | SMALL}
HAS = "has no attention with linear query and value projections of its own. It has"
REFUSED = {
    "mllama": ({}, "do not enter its text as tokens (no `get_image_features`), but through cross-"),
    "qwen3_5": ({}, f"layers.0 {HAS} linear_attn (Qwen3_5GatedDeltaNet), mlp (Qwen3_5MLP), "),
    "llava": (FUSED, f"layers.0 {HAS} self_attn (Phi3Attention), mlp (Phi3MLP), "),
    "qwen3_vl_moe": ({}, "experts.gate_up_proj is a weight of neither a linear layer nor a norm"),
    "florence2": ({}, "its language model is an encoder with a decoder"),
    "video_llava": ({}, "it has a tower besides that of images, model.video_tower"),
    "fuyu": ({}, "it has no vision tower"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_tuned_is_refused_by_name_and_reason(kind) -> None:
    config, why = REFUSED[kind]
    model = on_meta(kind, **config)
    with pytest.raises(ConfigError) as refusal:
        check_supported(model)
    head = f"model.checkpoint: {type(model).__name__} is not an architecture that lnt can tune: "
    assert str(refusal.value).startswith(head)
    assert why in str(refusal.value)


def test_plan_and_trial_refuse_it_before_they_read_weights(tmp_path) -> None:
    from transformers import AutoConfig

    AutoConfig.for_model("qwen3_5").save_pretrained(tmp_path)  # and no file of weights
    config = ModelConfig(checkpoint=str(tmp_path))
    for load in (build_on_meta, functools.partial(load_base, cache=tmp_path)):
        with pytest.raises(ConfigError, match="is not an architecture that lnt can tune"):
            load(config)


@pytest.mark.parametrize("kind", sorted({family.kind for family in FAMILIES.values()} | {"llava"}))
def test_the_published_sizes_of_the_families_are_supported(kind) -> None:
    check_supported(on_meta(kind))
