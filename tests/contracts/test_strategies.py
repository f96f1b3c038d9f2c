"""What every strategy promises; a new one is tested by being registered."""

import copy
import typing

import pytest
import torch
from torch import nn

from lnt_core.accounting import count_parameters
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig, get_strategy
from lnt_core.strategies.weights import load_weights, save_weights

PEFT = ["lora", "layernorm", "layernorm_simple"]
HIDDEN, MLP, LAYERS = 32, 64, 2
NORMS = (2 * LAYERS + 1) * HIDDEN
QV, MLPS = 2 * HIDDEN * HIDDEN * LAYERS, 3 * HIDDEN * MLP * LAYERS
CONNECTOR = HIDDEN * HIDDEN + HIDDEN
LORA_PER_RANK = LAYERS * (4 * (HIDDEN + HIDDEN) + 3 * (HIDDEN + MLP))


def closed_form(name: str, rows: int) -> int:
    shared = CONNECTOR + 2 * rows * HIDDEN
    return {
        "full": LAYERS * 4 * HIDDEN * HIDDEN + MLPS + NORMS + shared,
        "lora": 32 * LORA_PER_RANK + shared,
        "attn_qv": QV + shared,
        "attn_mlp": MLPS + shared,
        "layernorm": NORMS + shared,
        "layernorm_simple": NORMS,
        "connector": CONNECTOR,
    }[name]


def applied(base, name: str) -> nn.Module:
    strategy = get_strategy(name)
    torch.manual_seed(0)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    return model


def batch(base, scenes):
    from lnt_core.data.samples import load_samples

    samples = load_samples(scenes.tune, seed=0)[:2]
    encoded = [base.conversations.encode(sample) for sample in samples]
    width = min(len(e.input_ids) for e in encoded)
    ids = torch.tensor([e.input_ids[:width] for e in encoded])
    return {"input_ids": ids, "pixel_values": base.image_features([s.image for s in samples])}


def step(model: nn.Module, inputs) -> None:
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.1)
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    optimizer.step()


def test_union_and_registry_name_the_same_strategies() -> None:
    members = typing.get_args(typing.get_args(AnyStrategyConfig)[0])
    assert {member.model_fields["name"].default for member in members} == set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
class TestStrategy:
    def test_counts_the_closed_form(self, name, base) -> None:
        rows = base.model.get_input_embeddings().weight.shape[0]
        assert count_parameters(applied(base, name)).trainable == closed_form(name, rows)

    def test_starts_at_the_base_models_output(self, name, base, scenes) -> None:
        inputs = batch(base, scenes)
        with torch.no_grad():
            before = base.trial_copy()(**inputs).logits
            assert torch.equal(applied(base, name).eval()(**inputs).logits, before)

    def test_moves_what_it_declares_and_nothing_else(self, name, base, scenes) -> None:
        model, inputs = applied(base, name), batch(base, scenes)
        own = {n: p.detach().clone() for n, p in model.named_parameters()}
        shared = {n: p.detach().clone() for n, p in base.model.named_parameters()}
        for _ in range(2):  # LoRA's A moves once its B has
            step(model, inputs)
        for parameter_name, parameter in model.named_parameters():
            moved = not torch.equal(parameter, own[parameter_name])
            assert moved == parameter.requires_grad, parameter_name
        for parameter_name, parameter in base.model.named_parameters():
            assert torch.equal(parameter, shared[parameter_name]), parameter_name

    def test_saved_weights_give_the_same_logits(self, name, base, scenes, tmp_path) -> None:
        model, inputs = applied(base, name), batch(base, scenes)
        step(model, inputs)
        save_weights(model, tmp_path, base_name="base")
        with torch.no_grad():
            loaded = load_weights(base.trial_copy(), tmp_path).eval()
            assert torch.equal(loaded(**inputs).logits, model.eval()(**inputs).logits)

    def test_keeps_a_tied_pair_one_tensor(self, name, tied_base, scenes, tmp_path) -> None:
        model, inputs = applied(tied_base, name), batch(tied_base, scenes)
        step(model, inputs)
        embedding = model.get_input_embeddings().weight
        head = model.get_output_embeddings().weight
        assert torch.equal(embedding, head)
        rows = embedding.shape[0]
        untied = closed_form(name, rows)
        trains_pair = name not in ("layernorm_simple", "connector")
        expected = untied - rows * HIDDEN * trains_pair
        assert count_parameters(model).trainable == expected
        save_weights(model, tmp_path, base_name="base")
        with torch.no_grad():
            loaded = load_weights(tied_base.trial_copy(), tmp_path).eval()
            assert torch.equal(loaded(**inputs).logits, model.eval()(**inputs).logits)


@pytest.mark.parametrize("name", PEFT)
def test_plain_peft_loads_it_onto_the_base(name, base, scenes, tmp_path) -> None:
    from peft import PeftModel
    from PIL import Image

    from lnt_core.data.samples import load_samples

    model, inputs = applied(base, name), batch(base, scenes)
    step(model, inputs)
    save_weights(model, tmp_path, base_name="base")
    plain = PeftModel.from_pretrained(copy.deepcopy(base.model), str(tmp_path)).eval()
    paths = [sample.image for sample in load_samples(scenes.tune, seed=0)[:2]]
    images = [Image.open(path).convert("RGB") for path in paths]
    pixels = base.image_processor(images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        through_peft = plain(input_ids=inputs["input_ids"], pixel_values=pixels).logits
        assert torch.allclose(through_peft, model.eval()(**inputs).logits, atol=1e-5)
