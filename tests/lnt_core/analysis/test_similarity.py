"""Similarity of layers, compared with a direct computation on transformers' hidden states."""

import pytest
import torch
from torch import nn

from lnt_core.accounting.ledger import Ledger
from lnt_core.analysis.similarity import BATCH, each_output, layer_similarity, mean_similarity, run
from lnt_core.data.samples import load_samples
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.strategies import STRATEGIES, get_strategy
from tests.parts import model_config, save_parts, text_config


def asked(base, scenes):
    """Features of more images than are compared at a time, and a prompt."""
    images = list(dict.fromkeys(s.images[0] for s in load_samples(scenes.tune, seed=0)))
    return (images * 2)[: BATCH + 2], base.conversations.encode_prompt("What is it?", images[:1])


@torch.no_grad()
def directly(model, images, prompt, store, *, bf16: bool) -> list[list[float]]:
    """The same from all hidden states at once, as transformers returns them."""
    total = 0
    for start in range(0, len(images), BATCH):
        features = store.get([(i,) for i in images[start : start + BATCH]])["pixel_values"]
        ids = torch.tensor([prompt.input_ids] * len(features))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            states = model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=features,
                output_hidden_states=True,
            ).hidden_states[1:]
        layers = nn.functional.normalize(torch.stack(states).float(), dim=-1)
        total = total + torch.einsum("lbth,mbth->lm", layers, layers) / layers.shape[2]
    return (total / len(images)).tolist()


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_it_is_that_of_transformers_hidden_states_to_the_last_digit(
    name, bf16, base, scenes
) -> None:
    strategy, store = get_strategy(name), FeatureStore(base, max_bytes=2**20)
    torch.manual_seed(0)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config()).eval()
    images, prompt = asked(base, scenes)
    matrix = layer_similarity(model, base.roles, [prompt] * len(images), images, store, bf16=bf16)
    assert matrix == directly(model, images, prompt, store, bf16=bf16)
    assert mean_similarity(matrix) == matrix[1][0]


@pytest.mark.parametrize("kind", ["mistral", "qwen2", "opt"])
def test_other_language_models_have_the_same_layers(kind, scenes, tmp_path) -> None:
    base = load_base(model_config(save_parts(tmp_path, text_config(kind))), cache=tmp_path)
    model, store = base.trial_copy(), FeatureStore(base, max_bytes=2**20)
    images, prompt = asked(base, scenes)
    matrix = layer_similarity(model, base.roles, [prompt] * len(images), images, store)
    assert matrix == directly(model, images, prompt, store, bf16=False)


@torch.no_grad()
def test_one_layer_is_held_at_a_time(scenes, tmp_path) -> None:
    """By torch's own operations: what is live at most is the same at any depth."""
    peaks = {}
    for depth in (2, 6):
        config = text_config(num_hidden_layers=depth)
        base = load_base(model_config(save_parts(tmp_path / str(depth), config)), cache=tmp_path)
        model, ids = base.trial_copy().eval(), torch.ones(4, 200, dtype=torch.long)
        ledger = Ledger()
        for tensor in (*model.parameters(), *model.buffers()):
            ledger.add(tensor)
        weights = ledger.live_bytes
        with ledger, each_output(model, base.roles, lambda index, output: None):
            run(model, input_ids=ids)
        peaks[depth] = ledger.peak_bytes - weights
    assert peaks[2] == peaks[6]
    assert peaks[6] < 12 * (4 * 200 * 32 * 4)  # of a block's outputs
