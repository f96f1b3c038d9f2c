"""What every strategy promises; a new one is tested by being registered."""

import copy
import dataclasses
import typing

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from lnt_core.accounting.parameters import count_parameters
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, Strategy, get_strategy
from lnt_core.strategies.weights import load_weights, save_weights
from tests.images import features

pytestmark = pytest.mark.wide

HIDDEN, MLP, LAYERS = 32, 64, 2
NORMS = (2 * LAYERS + 1) * HIDDEN
QV, MLPS = 2 * HIDDEN * HIDDEN * LAYERS, 3 * HIDDEN * MLP * LAYERS
CONNECTOR = HIDDEN * HIDDEN + HIDDEN
LORA_PER_RANK = LAYERS * (4 * (HIDDEN + HIDDEN) + 3 * (HIDDEN + MLP))
LINEARS, OUTPUTS = 7 * LAYERS, LAYERS * (4 * HIDDEN + 2 * MLP + HIDDEN)
ADAPTER = 2 * HIDDEN * 64 + 64 + HIDDEN
KEYS_AND_VALUES = LAYERS * 2 * HIDDEN
VARIANTS = {
    "lora without base": {"name": "lora", "rank": 4, "train_base": False},
    "lora on q and v": {"name": "lora", "rank": 4, "targets": "attn_qv", "train_base": False},
    "lora on attention": {"name": "lora", "rank": 4, "targets": "attn", "train_base": False},
    "lora on mlp": {"name": "lora", "rank": 4, "targets": "mlp", "train_base": False},
    "rslora": {"name": "lora", "rank": 4, "rslora": True},
    "dora": {"name": "lora", "rank": 4, "dora": True},
    "adalora with base": {"name": "adalora", "train_base": True},
    "adapter with base": {"name": "adapter_serial", "train_base": True},
    "adapter on mlp": {"name": "adapter_parallel", "places": "mlp", "width": 8, "scale": 4.0},
    "prefix without mlp": {"name": "prefix", "reparameterise": False},
    "prompt of vocabulary": {"name": "prompt", "init": "vocabulary", "num_tokens": 5},
    "chosen norms": {"name": "layernorm_simple", "target_modules": ["input_layernorm"]},
}
CASES = {name: {"name": name} for name in STRATEGIES} | VARIANTS
MERGES = [
    *("lora", "lora without base", "lora on q and v", "rslora", "dora", "adalora"),
    *("layernorm", "layernorm_simple", "chosen norms"),
]
NO_PEFT = ["full", "attn_qv", "attn_mlp", "connector", *(c for c in CASES if "adapter" in c)]
TRAINS_PAIR = [
    *("full", "lora", "attn_qv", "attn_mlp", "layernorm", "rslora", "dora"),
    *("adalora with base", "adapter with base"),
]


def closed_form(case: str, rows: int) -> int:
    shared = CONNECTOR + 2 * rows * HIDDEN
    return {
        "full": LAYERS * 4 * HIDDEN * HIDDEN + MLPS + NORMS + shared,
        "lora": 32 * LORA_PER_RANK + shared,
        "attn_qv": QV + shared,
        "attn_mlp": MLPS + shared,
        "layernorm": NORMS + shared,
        "layernorm_simple": NORMS,
        "connector": CONNECTOR,
        "adapter_serial": 2 * LAYERS * ADAPTER,
        "adapter_parallel": 2 * LAYERS * ADAPTER,
        "prefix": 20 * HIDDEN + 512 * (HIDDEN + 1) + (512 + 1) * KEYS_AND_VALUES,
        "prompt": 20 * HIDDEN,
        "adalora": 12 * (LORA_PER_RANK + LINEARS),
        "lora without base": 4 * LORA_PER_RANK,
        "lora on q and v": 4 * LAYERS * 2 * (HIDDEN + HIDDEN),
        "lora on attention": 4 * LAYERS * 4 * (HIDDEN + HIDDEN),
        "lora on mlp": 4 * LAYERS * 3 * (HIDDEN + MLP),
        "rslora": 4 * LORA_PER_RANK + shared,
        "dora": 4 * LORA_PER_RANK + OUTPUTS + shared,
        "adalora with base": 12 * (LORA_PER_RANK + LINEARS) + shared,
        "adapter with base": 2 * LAYERS * ADAPTER + shared,
        "adapter on mlp": LAYERS * (2 * HIDDEN * 8 + 8 + HIDDEN),
        "prefix without mlp": 20 * KEYS_AND_VALUES,
        "prompt of vocabulary": 5 * HIDDEN,
        "chosen norms": LAYERS * HIDDEN,
    }[case]


def options_of(case: str):
    return TypeAdapter(AnyStrategyConfig).validate_python(CASES[case])


def applied(base, case: str) -> tuple[nn.Module, Strategy]:
    options = options_of(case)
    torch.manual_seed(0)
    strategy = get_strategy(options.name)
    model = strategy.apply(base.trial_copy(), base.roles, options)
    own_trainable(model)
    return model, strategy


def save(model, case: str, folder) -> None:
    save_weights(model, folder, strategy=options_of(case), base_name="base")


def batch(base, scenes):
    from lnt_core.data.samples import load_samples

    samples = load_samples(scenes.tune, seed=0)[:2]
    encoded = [base.conversations.encode(sample) for sample in samples]
    width = min(len(e.input_ids) for e in encoded)
    ids = torch.tensor([e.input_ids[:width] for e in encoded])
    return {"input_ids": ids, "pixel_values": features(base, [s.images[0] for s in samples])}


def step(model: nn.Module, strategy: Strategy, inputs) -> None:
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.1)
    loss = model(**inputs, labels=inputs["input_ids"]).loss
    penalty = strategy.penalty(model)
    (loss if penalty is None else loss + penalty).backward()
    optimizer.step()


def test_union_and_registry_name_the_same_strategies() -> None:
    members = typing.get_args(typing.get_args(AnyStrategyConfig)[0])
    assert {member.model_fields["name"].default for member in members} == set(STRATEGIES)


@pytest.mark.parametrize("name", CASES)
class TestStrategy:
    def test_counts_the_closed_form(self, name, base) -> None:
        rows = base.model.get_input_embeddings().weight.shape[0]
        assert count_parameters(applied(base, name)[0]).trainable == closed_form(name, rows)

    def test_starts_at_the_base_models_output(self, name, base, scenes) -> None:
        inputs = batch(base, scenes)
        with torch.no_grad():
            before = base.trial_copy()(**inputs).logits
            after = applied(base, name)[0].eval()(**inputs).logits
        starts_at_base = STRATEGIES[options_of(name).name].starts_at_base
        assert torch.equal(after[:, -before.shape[1] :], before) == starts_at_base

    def test_moves_what_it_declares_and_nothing_else(self, name, base, scenes) -> None:
        (model, strategy), inputs = applied(base, name), batch(base, scenes)
        own = {n: p.detach().clone() for n, p in model.named_parameters()}
        shared = {n: p.detach().clone() for n, p in base.model.named_parameters()}
        for _ in range(2):  # LoRA's A moves once its B has
            step(model, strategy, inputs)
        for parameter_name, parameter in model.named_parameters():
            moved = not torch.equal(parameter, own[parameter_name])
            assert moved == parameter.requires_grad, parameter_name
        for parameter_name, parameter in base.model.named_parameters():
            assert torch.equal(parameter, shared[parameter_name]), parameter_name

    def test_names_what_it_uses_between_steps(self, name, base) -> None:
        """All else of a model that DeepSpeed holds in parts is not there then."""
        model, strategy = applied(base, name)
        used = strategy.used_between_steps(model)
        acts = any(
            getattr(type(strategy), hook) is not getattr(Strategy, hook)
            for hook in ("penalty", "after_step")
        )
        assert bool(used) == acts
        assert all(parameter.requires_grad for parameter in used)
        penalty = strategy.penalty(model)
        if penalty is not None:
            penalty.backward()
        touched = {n for n, p in model.named_parameters() if p.grad is not None}
        assert touched <= {n for n, p in model.named_parameters() if any(p is u for u in used)}

    def test_saved_weights_give_the_same_logits(self, name, base, scenes, tmp_path) -> None:
        (model, strategy), inputs = applied(base, name), batch(base, scenes)
        step(model, strategy, inputs)
        save(model, name, tmp_path)
        with torch.no_grad():
            loaded = load_weights(base.trial_copy(), tmp_path).eval()
            assert torch.equal(loaded(**inputs).logits, model.eval()(**inputs).logits)

    def test_keeps_a_tied_pair_one_tensor(self, name, tied_base, scenes, tmp_path) -> None:
        (model, strategy), inputs = applied(tied_base, name), batch(tied_base, scenes)
        step(model, strategy, inputs)
        embedding = model.get_input_embeddings().weight
        head = model.get_output_embeddings().weight
        assert torch.equal(embedding, head)
        rows = embedding.shape[0]
        untied = closed_form(name, rows)
        expected = untied - rows * HIDDEN * (name in TRAINS_PAIR)
        assert count_parameters(model).trainable == expected
        save(model, name, tmp_path)
        with torch.no_grad():
            loaded = load_weights(tied_base.trial_copy(), tmp_path).eval()
            assert torch.equal(loaded(**inputs).logits, model.eval()(**inputs).logits)


@pytest.mark.parametrize("name", MERGES)
def test_merged_into_the_base_it_gives_the_same_logits(name, base, scenes) -> None:
    own = dataclasses.replace(base, model=copy.deepcopy(base.model))  # merging writes into it
    (model, strategy), inputs = applied(own, name), batch(base, scenes)
    step(model, strategy, inputs)
    with torch.no_grad():
        before = model.eval()(**inputs).logits
        merged = model.merge_and_unload()
        assert not any("lora" in n or "ln_tuning" in n for n, _ in merged.named_modules())
        assert torch.allclose(merged(**inputs).logits, before, atol=1e-5)


@pytest.mark.parametrize("name", [case for case in CASES if case not in NO_PEFT])
def test_plain_peft_loads_it_onto_the_base(name, base, scenes, tmp_path) -> None:
    from peft import PeftModel
    from PIL import Image

    from lnt_core.data.samples import load_samples

    (model, strategy), inputs = applied(base, name), batch(base, scenes)
    step(model, strategy, inputs)
    save(model, name, tmp_path)
    plain = PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path)).eval()
    paths = [sample.images[0] for sample in load_samples(scenes.tune, seed=0)[:2]]
    images = [Image.open(path).convert("RGB") for path in paths]
    pixels = base.image_processor(images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        through_peft = plain(input_ids=inputs["input_ids"], pixel_values=pixels).logits
        assert torch.allclose(through_peft, model.eval()(**inputs).logits, atol=1e-5)
