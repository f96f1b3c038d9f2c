"""Roles from the architecture, and the paper's counts from them."""

import pytest
import torch
import yaml
from torch import nn

from lnt_core.accounting.parameters import count_parameters
from lnt_core.config import ModelConfig
from lnt_core.errors import ConfigError
from lnt_core.models.build import build_on_meta
from lnt_core.models.parts import inside
from lnt_core.models.roles import find_roles
from lnt_core.strategies import get_strategy
from lnt_core.strategies.lora import LoraConfig
from sweeps.plan.load import PRESETS
from tests.parts import VISION, text_config
from tests.vlm_checkpoints import on_meta

# Zhao et al., arXiv:2312.11420, re-derived by hand; LoRA is rank 64. Percent of all parameters.
PAPER_SHARES = {
    "paper-7b": {
        "full": 95.70,
        "lora": 5.92,
        "attn_qv": 19.02,
        "attn_mlp": 65.21,
        "layernorm": 3.78,
        "layernorm_simple": 0.004,
    },
    "paper-13b": {
        "full": 97.72,
        "lora": 4.30,
        "attn_qv": 18.24,
        "attn_mlp": 66.24,
        "layernorm": 2.50,
        "layernorm_simple": 0.003,
    },
}


def shaped(kind: str) -> ModelConfig:
    language = text_config(kind).to_dict()
    return ModelConfig.model_validate(
        {
            "language_model": "x",
            "vision_tower": "y",
            "shapes": {
                "language": language,
                "vision": {"model_type": "clip_vision_model", **VISION},
            },
        }
    )


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2"])
def test_roles_of_llama_and_its_kin(kind) -> None:
    roles = find_roles(build_on_meta(shaped(kind)))
    layers = [f"model.language_model.layers.{i}" for i in range(2)]
    assert roles.norm == (
        *(f"{x}.{n}" for x in layers for n in ("input_layernorm", "post_attention_layernorm")),
        "model.language_model.norm",
    )
    assert roles.attn_q == tuple(f"{x}.self_attn.q_proj" for x in layers)
    assert roles.attn_v == tuple(f"{x}.self_attn.v_proj" for x in layers)
    assert roles.mlp == tuple(
        f"{x}.mlp.{n}" for x in layers for n in ("gate_proj", "up_proj", "down_proj")
    )
    assert len(roles.linear) == 2 * 7
    assert roles.shared == (
        "model.multi_modal_projector",
        "model.language_model.embed_tokens",
        "lm_head",
    )


def test_roles_of_opt() -> None:
    roles = find_roles(build_on_meta(shaped("opt")))
    layers = [f"model.language_model.decoder.layers.{i}" for i in range(2)]
    norms = ("self_attn_layer_norm", "final_layer_norm")
    assert roles.norm == (
        *(f"{x}.{n}" for x in layers for n in norms),
        "model.language_model.decoder.final_layer_norm",
    )
    assert roles.mlp == tuple(f"{x}.{n}" for x in layers for n in ("fc1", "fc2"))
    assert roles.embedding == "model.language_model.decoder.embed_tokens"


LLAVA = ("model.vision_tower", "model.language_model", ("model.multi_modal_projector",))
IDEFICS = ("model.vision_model", "model.text_model", ("model.connector",))
NEWLINE = ("model.image_newline", "model.multi_modal_projector")
MERGER = "model.visual.merger"
DEEPSTACK = tuple(f"model.visual.deepstack_merger_list.{number}" for number in range(3))
PARTS = {
    "gemma3": LLAVA,
    "idefics3": IDEFICS,
    "internvl": LLAVA,
    "llava": LLAVA,
    "llava_next": (*LLAVA[:2], NEWLINE),
    "llava_onevision": (*LLAVA[:2], NEWLINE),
    "paligemma": LLAVA,
    "qwen2_5_vl": ("model.visual", "model.language_model", (MERGER,)),
    "qwen3_vl": ("model.visual", "model.language_model", (MERGER, *DEEPSTACK)),
    "smolvlm": IDEFICS,
}


@pytest.mark.parametrize("kind", PARTS)
def test_roles_of_a_vision_language_checkpoint(kind) -> None:
    vision, language, connector = PARTS[kind]
    model = on_meta(kind)
    roles = find_roles(model)
    assert (roles.vision, roles.language, roles.connector) == (vision, language, connector)
    assert len(roles.blocks) == model.config.get_text_config().num_hidden_layers
    of_blocks = (*roles.norm, *roles.attention_norm, *roles.linear, *roles.blocks)
    assert all(inside(name, language) for name in of_blocks)
    with_role = {*roles.shared, *roles.norm, *roles.attention_norm, *roles.linear, vision}
    for name, _ in model.named_parameters():
        assert any(inside(name, part) for part in with_role), name


def test_norms_of_queries_and_keys_are_a_role_of_their_own() -> None:
    for kind, has_them in (("qwen3_vl", True), ("gemma3", True), ("qwen2_5_vl", False)):
        roles = find_roles(on_meta(kind))
        ends = {name.rpartition(".")[2] for name in roles.attention_norm}
        assert ends == ({"q_norm", "k_norm"} if has_them else set())
        assert not set(roles.norm) & set(roles.attention_norm)


def test_an_unknown_architecture_is_refused_with_what_was_looked_for() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Linear(2, 2)

    with pytest.raises(ConfigError) as refusal:
        find_roles(Other())
    assert str(refusal.value) == (
        "Other is not an architecture that lnt can tune. Not found:\n"
        "  a vision tower\n"
        "  a language model\n"
        "  an output head\n"
        "Its parts are: trunk"
    )


@pytest.fixture(scope="module")
def meta_counts():
    counts = {}
    for preset, shares in PAPER_SHARES.items():
        model = ModelConfig.model_validate(
            yaml.safe_load((PRESETS / f"{preset}.yaml").read_text())["model"]
        )
        for name in shares:
            built = build_on_meta(model)
            built.requires_grad_(False)
            strategy = get_strategy(name)
            options = LoraConfig(rank=64) if name == "lora" else strategy.Config()
            with torch.device("meta"):
                tuned = strategy.apply(built, find_roles(built), options)
            counts[preset, name] = count_parameters(tuned)
    return counts


@pytest.mark.golden
@pytest.mark.parametrize(
    ("preset", "name", "percent"),
    [(preset, name, p) for preset, shares in PAPER_SHARES.items() for name, p in shares.items()],
)
def test_the_share_is_the_papers_to_the_digit(preset, name, percent, meta_counts) -> None:
    digits = 3 if percent < 0.01 else 2
    assert round(meta_counts[preset, name].share * 100, digits) == percent


@pytest.mark.golden
def test_layernorm_trains_41_9_percent_fewer_parameters_than_lora_at_13b(meta_counts) -> None:
    """The paper's figure, of its printed shares: 1 - 2.50 / 4.30."""
    layernorm, lora = (meta_counts["paper-13b", name] for name in ("layernorm", "lora"))
    printed = [round(count.share * 100, 2) for count in (layernorm, lora)]
    assert round((1 - printed[0] / printed[1]) * 100, 1) == 41.9
    assert 1 - layernorm.trainable / lora.trainable == pytest.approx(0.419, abs=0.01)


@pytest.mark.golden
def test_the_norms_alone_count_exactly(meta_counts) -> None:
    assert meta_counts["paper-7b", "layernorm_simple"].trainable == 266_240
    assert meta_counts["paper-13b", "layernorm_simple"].trainable == 414_720
