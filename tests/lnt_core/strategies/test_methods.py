"""What single strategies promise beyond the contract."""

import itertools

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file

from lnt_core.accounting.parameters import count_parameters
from lnt_core.config import SelectConfig, TrainConfig
from lnt_core.data.samples import load_samples
from lnt_core.errors import ConfigError
from lnt_core.evaluation.captioning import CaptioningTask
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.models.roles import find_roles
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, get_strategy
from lnt_core.strategies.weights import load_weights, save_weights
from lnt_core.training.loop import Hooks, train
from tests.conftest import model_config, save_parts, text_config

STEPS = 8


def options(name: str, **given):
    return TypeAdapter(AnyStrategyConfig).validate_python({"name": name} | given)


def trained(base, scenes, chosen, *, steps: int = STEPS, rate: float = 1e-2):
    strategy = get_strategy(chosen.name)
    torch.manual_seed(0)
    model = strategy.apply(base.trial_copy(), base.roles, chosen)
    own_trainable(model)
    train(
        model,
        [base.conversations.encode(sample) for sample in load_samples(scenes.tune, seed=0)],
        TrainConfig(
            max_steps=steps, batch_size=4, micro_batch_size=4, gradient_checkpointing=False
        ),
        strategy=strategy,
        learning_rate=rate,
        seed=0,
        store=FeatureStore(base, max_bytes=2**20),
        pad_id=0,
        hooks=Hooks(lambda step, metrics: None),
    )
    return model


def inputs(base, scenes):
    sample = load_samples(scenes.tune, seed=0)[0]
    ids = torch.tensor([base.conversations.encode(sample).input_ids])
    return {"input_ids": ids, "pixel_values": base.image_features([sample.image])}


def test_adalora_ends_at_its_budget_and_keeps_it_when_saved(base, scenes, tmp_path) -> None:
    chosen = options("adalora", init_rank=6, target_rank=2)
    model = trained(base, scenes, chosen)
    pattern = model.peft_config["default"].rank_pattern
    kept = sum(itertools.chain(*pattern.values()))
    assert kept <= 2 * len(pattern) < 6 * len(pattern)
    with torch.no_grad():
        before = model.eval()(**inputs(base, scenes)).logits
    save_weights(model, tmp_path, strategy=chosen, base_name="base")
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert sum(t.shape[0] for n, t in tensors.items() if "lora_E" in n) == kept
    with torch.no_grad():
        after = load_weights(base.trial_copy(), tmp_path).eval()(**inputs(base, scenes)).logits
    assert torch.allclose(after, before, atol=1e-6)


def test_adaloras_penalty_is_reported_beside_the_loss(base, scenes) -> None:
    strategy, heard = get_strategy("adalora"), []
    model = strategy.apply(base.trial_copy(), base.roles, options("adalora"))
    own_trainable(model)
    train(
        model,
        [base.conversations.encode(sample) for sample in load_samples(scenes.tune, seed=0)],
        TrainConfig(max_steps=2, batch_size=2, micro_batch_size=2, gradient_checkpointing=False),
        strategy=strategy,
        learning_rate=1e-3,
        seed=0,
        store=FeatureStore(base, max_bytes=2**20),
        pad_id=0,
        hooks=Hooks(lambda step, metrics: heard.append(metrics)),
    )
    assert all(metrics["train/penalty"] > 0.1 for metrics in heard)


def test_the_prefixs_mlp_is_dropped_when_saved(base, scenes, tmp_path) -> None:
    chosen = options("prefix", num_tokens=5, hidden_size=16)
    save_weights(trained(base, scenes, chosen), tmp_path, strategy=chosen, base_name="base")
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    layers, hidden = 2, 32
    assert {n: tuple(t.shape) for n, t in tensors.items()} == {
        "prompt_embeddings": (5, layers * 2 * hidden)
    }


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


@pytest.mark.parametrize("name", STRATEGIES)
def test_captions_follow_the_image(name, base, scenes) -> None:
    model = trained(base, scenes, options(name), steps=2)
    one = inputs(base, scenes)
    with torch.no_grad():
        seen = model.eval()(**one).logits
        other = model(**one | {"pixel_values": one["pixel_values"] + 1.0}).logits
    assert not torch.allclose(seen, other, atol=1e-4)


class TestLayerNorm:
    @pytest.mark.parametrize(
        ("kind", "ends", "count"),
        [
            ("llama", ["input_layernorm", "norm"], 2 * 32 + 32),
            ("llama", ["layers.0.post_attention_layernorm"], 32),
            ("opt", ["final_layer_norm"], 3 * 2 * 32),
            ("gpt2", ["ln_1", "ln_f"], 3 * 2 * 32),
            ("gpt2", [], 5 * 2 * 32),
        ],
    )
    def test_tunes_chosen_norms_of_a_language_model(self, kind, ends, count) -> None:
        from transformers import AutoModelForCausalLM, GPT2Config

        config = (
            GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=50)
            if kind == "gpt2"
            else text_config(kind)
        )
        model = AutoModelForCausalLM.from_config(config).requires_grad_(False)
        roles = find_roles(model)
        assert roles.vision is None
        tuned = get_strategy("layernorm_simple").apply(
            model, roles, options("layernorm_simple", target_modules=ends)
        )
        assert count_parameters(tuned).trainable == count
        ids = torch.tensor([[3, 4, 5, 6]])
        tuned(input_ids=ids, labels=ids).loss.backward()
        assert all(p.grad is not None for p in tuned.parameters() if p.requires_grad)

    def test_refuses_what_is_no_norm(self, base) -> None:
        with pytest.raises(ConfigError) as refusal:
            get_strategy("layernorm").apply(
                base.trial_copy(),
                base.roles,
                options("layernorm", target_modules=["inputlayernorm"]),
            )
        assert str(refusal.value) == (
            "strategy.target_modules is 'inputlayernorm', but must be one of 'input_layernorm', "
            "'norm', 'post_attention_layernorm'; did you mean 'input_layernorm'?"
        )


@pytest.mark.parametrize("name", ["attn_qv", "attn_mlp", "lora", "adapter_serial", "connector"])
def test_a_model_without_the_part_is_refused(name) -> None:
    """GPT-2 fuses q, k and v in a layer of its own kind, and has no connector."""
    from transformers import AutoModelForCausalLM, GPT2Config

    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=2, n_embd=32, n_head=2))
    with pytest.raises(ConfigError, match="this model lacks a part that the strategy needs"):
        get_strategy(name).apply(model, find_roles(model), options(name))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "adalora", "init_rank": 4, "target_rank": 4}, "must be below `init_rank` (4)"),
        ({"name": "adalora", "initial_ratio": 0.7}, "`final_ratio` must be below 1"),
        (
            {"name": "prefix", "reparameterise": False, "hidden_size": 8},
            "which `reparameterise: false` leaves out",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, message) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(AnyStrategyConfig).validate_python(given)
    assert message in str(refusal.value)


@pytest.mark.parametrize("name", ["lora", "adalora"])
def test_twenty_targets_and_more_are_saved_whole(name, tmp_path) -> None:
    """PEFT shortens so many to ends of names; those would hit the tower of the whole model."""
    from peft import PeftModel

    parts = save_parts(tmp_path / "parts", text_config(num_hidden_layers=3))
    base = load_base(model_config(parts), cache=tmp_path)
    chosen = options(name)
    tuned = get_strategy(name).apply(base.trial_copy(), base.roles, chosen)
    save_weights(tuned, tmp_path / "saved", strategy=chosen, base_name="base")
    loaded = PeftModel.from_pretrained(base.model, str(tmp_path / "saved"))
    hit = {n.partition(".lora_A")[0] for n, _ in loaded.named_parameters() if ".lora_A" in n}
    assert hit == {f"base_model.model.{target}" for target in base.roles.linear}
