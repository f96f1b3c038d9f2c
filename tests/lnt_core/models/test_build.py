"""Every kind of base model, fed the way a trial feeds it."""

import pytest
import torch
from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.samples import Sample, load_samples
from lnt_core.devices.memory import GIB
from lnt_core.models import vlm
from lnt_core.models.build import load_base
from lnt_core.strategies import get_strategy
from lnt_core.strategies.tuned import tuned_copy
from tests.images import features
from tests.parts import model_config, save_parts, text_config


def logits(base, scenes, model, *, pixels: bool):
    samples = load_samples(scenes.tune, seed=0)[:2]
    encoded = [base.conversations.encode(sample) for sample in samples]
    width = min(len(e.input_ids) for e in encoded)
    ids = torch.tensor([e.input_ids[:width] for e in encoded])
    if pixels:
        images = [Image.open(sample.images[0]).convert("RGB") for sample in samples]
        values = base.image_processor(images, return_tensors="pt")["pixel_values"]
    else:
        values = features(base, [sample.images[0] for sample in samples])
    with torch.no_grad():
        return model(input_ids=ids, pixel_values=values).logits


def test_a_trials_copy_on_features_equals_the_base_on_pixels(base, scenes) -> None:
    from_pixels = logits(base, scenes, base.model, pixels=True)
    from_features = logits(base, scenes, base.trial_copy(), pixels=False)
    assert torch.allclose(from_features, from_pixels, atol=1e-6)


def test_a_checkpoint_equals_plain_transformers(checkpoint, scenes, tmp_path) -> None:
    from transformers import AutoModelForImageTextToText

    base = load_base(ModelConfig.model_validate({"checkpoint": checkpoint}), cache=tmp_path)
    plain = AutoModelForImageTextToText.from_pretrained(checkpoint).eval()
    theirs = logits(base, scenes, plain, pixels=True)
    ours = logits(base, scenes, base.trial_copy(), pixels=False)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_checkpoints_own_template_gives_the_prompt(checkpoint, scenes, tmp_path) -> None:
    base = load_base(ModelConfig.model_validate({"checkpoint": checkpoint}), cache=tmp_path)
    assert base.conversations.prompt_text("What?") == "USER: <image>\nWhat? ASSISTANT:"
    image = load_samples(scenes.tune, seed=0)[0].images[0]
    sample = Sample((image,), (("<image>\nWhat?", "A dog."), ("And?", "A cat.")))
    encoded = base.conversations.encode(sample)
    answers = [i for i in encoded.labels if i >= 0]
    assert base.conversations.tokenizer.decode(answers) == " A dog.</s> A cat.</s>"


@pytest.mark.parametrize("kind", ["mistral", "qwen2", "opt"])
def test_other_language_models_compose(kind, scenes, tmp_path) -> None:
    parts = save_parts(tmp_path, text_config(kind))
    base = load_base(model_config(parts), cache=tmp_path)
    assert torch.isfinite(logits(base, scenes, base.trial_copy(), pixels=False)).all()


def test_a_two_layer_connector_is_llavas(parts, scenes, tmp_path) -> None:
    config = model_config(parts).model_copy(update={"connector": "mlp2"})
    base = load_base(config, cache=tmp_path)
    connector = base.model.get_submodule(*base.roles.connector)
    assert type(connector).__name__ == "LlavaMultiModalProjector"
    assert torch.isfinite(logits(base, scenes, base.trial_copy(), pixels=False)).all()


def test_bf16_holds_the_frozen_weights_in_half_the_memory(parts, tmp_path) -> None:
    base = load_base(model_config(parts), cache=tmp_path, precision="bf16")
    assert {p.dtype for p in base.model.parameters()} == {torch.bfloat16}


def test_the_attention_asked_for_is_the_one_that_runs(parts, tmp_path) -> None:
    config = model_config(parts)
    for attention in ("eager", "sdpa"):
        asked = config.model_copy(update={"attention": attention})
        base = load_base(asked, cache=tmp_path)
        assert base.model.model.language_model.config._attn_implementation == attention


@pytest.mark.parametrize("kind", ["composed", "whole"])
def test_weights_go_straight_to_the_device(kind, parts, checkpoint, tmp_path, monkeypatch) -> None:
    """The meta device stands for a GPU: whatever passed through the host would be seen there."""
    whole = ModelConfig.model_validate({"checkpoint": checkpoint})
    config = model_config(parts) if kind == "composed" else whole
    through, real = [], torch.nn.Module.to

    def to(module, *args, **options):
        through.extend(n for n, p in module.named_parameters() if p.device.type == "cpu")
        return real(module, *args, **options)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    base = load_base(config, cache=tmp_path, device="meta")
    assert {p.device.type for p in base.model.parameters()} == {"meta"}
    assert [n for n in through if "multi_modal_projector" not in n and n not in OF_LINEAR] == []


OF_LINEAR = ("weight", "bias")  # of the connector, drawn on the CPU for its digits


def test_what_a_trial_trains_leaves_the_gpu_and_comes_back(parts, tmp_path, monkeypatch) -> None:
    """There is none here: what would be moved to the host is moved there from the host."""
    base = load_base(model_config(parts), cache=tmp_path)
    before = {name: p.clone() for name, p in base.model.named_parameters()}
    places = {name: p.data_ptr() for name, p in base.model.named_parameters()}
    strategy = get_strategy("attn_qv")
    trial = tuned_copy(base, strategy, strategy.Config())
    assert base.lend_to(trial) == 0
    assert places == {name: p.data_ptr() for name, p in base.model.named_parameters()}
    monkeypatch.setattr(vlm, "is_gpu", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: tensor.clone())
    lent_gib = base.lend_to(trial)
    moved = {name for name, p in base.model.named_parameters() if p.data_ptr() != places[name]}
    assert moved == {name for name, p in trial.named_parameters() if p.requires_grad}
    assert lent_gib * GIB == sum(before[name].nbytes for name in moved)
    base.take_back()
    assert all(torch.equal(p, before[name]) for name, p in base.model.named_parameters())
