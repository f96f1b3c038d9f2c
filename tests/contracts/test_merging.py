"""What every strategy that merges promises: plain transformers gives the tuned model's output."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.samples import load_samples
from lnt_core.errors import ConfigError
from lnt_core.models.build import load_base
from lnt_core.models.plain import save_plain
from lnt_core.strategies import STRATEGIES
from lnt_core.strategies.merge import check_mergeable, merge
from tests.contracts.test_strategies import CASES, applied, batch, options_of, save
from tests.families import FAMILIES, save_language_model
from tests.images import features
from tests.parts import model_config, save_parts, text_config

pytestmark = pytest.mark.wide

MERGING = [case for case in CASES if STRATEGIES[options_of(case).name].merges]
QUESTION = "What is beside the circle?"


@torch.no_grad()
def tuned_by(base, case: str):
    """As if it had been trained for long: every trained tensor is somewhere else."""
    model, _ = applied(base, case)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def own_copy(base):
    """Merging writes into the base."""
    return dataclasses.replace(base, model=copy.deepcopy(base.model))


def write_plain(base, tuned, case: str, folder) -> None:
    save(tuned, case, folder / "weights")
    own = own_copy(base)
    save_plain(own, merge(own, folder / "weights"), folder / "merged", max_new_tokens=9)


def assert_the_same(base, tuned, scenes, folder) -> None:
    """Logits and greedy captions, from images and text as a user of transformers has them."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    plain = AutoModelForImageTextToText.from_pretrained(folder / "merged").eval()
    processor = AutoProcessor.from_pretrained(folder / "merged")
    paths = [sample.images[0] for sample in load_samples(scenes.tune, seed=0)[:2]]
    asked = [
        [
            {
                "role": "user",
                "content": [
                    {"type": "image", "image": Image.open(path).convert("RGB")},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ]
        for path in paths
    ]
    inputs = processor.apply_chat_template(
        asked, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    ids = list(base.conversations.encode_prompt(QUESTION, paths[:1]).input_ids)
    assert inputs["input_ids"].tolist() == [ids, ids]
    ours = {"input_ids": inputs["input_ids"], "pixel_values": features(base, paths)}
    with torch.no_grad():
        tuned.eval()
        logits = tuned(**ours).logits
        theirs = plain(**inputs).logits[..., : logits.shape[-1]]  # it has a row for images
        assert torch.allclose(theirs, logits, atol=1e-5)
        again = tuned.generate(**ours, max_new_tokens=9)
        assert torch.equal(plain.generate(**inputs), again)


@pytest.mark.parametrize("case", MERGING)
def test_merged_and_reloaded_it_gives_the_same_output(case, base, scenes, tmp_path) -> None:
    tuned, inputs = tuned_by(base, case), batch(base, scenes)
    with torch.no_grad():
        moved = tuned.eval()(**inputs).logits - base.trial_copy()(**inputs).logits
    assert moved.abs().max() > 0.01
    write_plain(base, tuned, case, tmp_path)
    assert_the_same(base, tuned, scenes, tmp_path)


@pytest.mark.parametrize("case", ["lora", "full", "layernorm_simple"])
def test_a_tied_pair_merges_too(case, tied_base, scenes, tmp_path) -> None:
    tuned = tuned_by(tied_base, case)
    write_plain(tied_base, tuned, case, tmp_path)
    assert_the_same(tied_base, tuned, scenes, tmp_path)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("opt", {}),
        ("qwen2", {}),
        ("llama", {"connector": "mlp2"}),
        ("llama", {"conversation": "vicuna_v1"}),
    ],
)
def test_other_architectures_and_styles_merge_too(kind, changes, scenes, tmp_path) -> None:
    parts = save_parts(tmp_path / "parts", text_config(kind))
    config = model_config(parts).model_copy(update=changes)
    base = load_base(config, cache=tmp_path)
    tuned = tuned_by(base, "layernorm")
    write_plain(base, tuned, "layernorm", tmp_path)
    assert_the_same(base, tuned, scenes, tmp_path)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_published_language_models_merge_too(name, parts, scenes, tmp_path) -> None:
    language = save_language_model(name, tmp_path / "language")
    config = ModelConfig(
        language_model=language, vision_tower=parts[1], conversation=FAMILIES[name].style
    )
    base = load_base(config, cache=tmp_path)
    tuned = tuned_by(base, "lora")
    write_plain(base, tuned, "lora", tmp_path)
    assert_the_same(base, tuned, scenes, tmp_path)


def test_a_merged_checkpoint_is_a_base_like_any_other(base, scenes, tmp_path) -> None:
    tuned = tuned_by(base, "lora")
    write_plain(base, tuned, "lora", tmp_path)
    config = ModelConfig(checkpoint=str(tmp_path / "merged"), conversation="plain")
    again = load_base(config, cache=tmp_path)
    ours, theirs = (b.conversations.encode_prompt("Who?", [Path("x.png")]) for b in (again, base))
    assert ours == theirs
    write_plain(again, applied(again, "layernorm")[0], "layernorm", tmp_path / "twice")
    assert_the_same(again, tuned, scenes, tmp_path / "twice")


@pytest.mark.parametrize("name", [name for name in STRATEGIES if not STRATEGIES[name].merges])
def test_what_has_no_place_in_the_architecture_is_refused(name) -> None:
    with pytest.raises(ConfigError, match=rf"'{name}' cannot be merged.* one of adalora, attn_mlp"):
        check_mergeable(name)


def test_a_projected_embedding_has_no_place_in_plain_llava(scenes, tmp_path) -> None:
    parts = save_parts(tmp_path / "parts", text_config("opt", word_embed_proj_dim=16))
    base = load_base(model_config(parts), cache=tmp_path)
    tuned, _ = applied(base, "layernorm_simple")
    with pytest.raises(ConfigError, match="cannot be merged into a plain LLaVA of opt"):
        write_plain(base, tuned, "layernorm_simple", tmp_path)
