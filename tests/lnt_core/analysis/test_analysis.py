"""Layer similarity and early gradients, against the same by hand."""

import json
import operator
from pathlib import Path

import pytest
import torch
from torch import nn

from lnt_core.analysis.gradients import FIRST_STEPS, GradientVariance
from lnt_core.analysis.similarity import layer_similarity, mean_similarity
from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.trial import run_trial
from lnt_core.worker import Worker

GRADIENT = operator.attrgetter("grad")


def tuned(base, name: str) -> nn.Module:
    strategy = get_strategy(name)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    return model


def with_gradients(base, name: str) -> nn.Module:
    model = tuned(base, name)
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn_like(parameter)
    return model


def test_similarity_is_the_cosine_of_each_pair_of_layers(base, scenes) -> None:
    model, store = base.trial_copy(), FeatureStore(base, max_bytes=2**20)
    images = list(dict.fromkeys(s.image for s in load_samples(scenes.tune, seed=0)))
    prompt = base.conversations.encode_prompt("What is it?")
    assert len(images) > 4
    matrix = layer_similarity(model, prompt, images[:5], store)
    expected = torch.zeros(2, 2)
    for image in images[:5]:
        ids = torch.tensor([prompt])
        with torch.no_grad():
            states = model(
                input_ids=ids, pixel_values=store.get([image]), output_hidden_states=True
            ).hidden_states
        for i in range(2):
            for j in range(2):
                cosine = nn.functional.cosine_similarity(states[i + 1], states[j + 1], dim=-1)
                expected[i, j] += cosine.mean() / 5
    assert torch.allclose(torch.tensor(matrix), expected, atol=1e-5)
    assert mean_similarity(matrix) == pytest.approx(float(expected[0, 1]), abs=1e-5)


def test_variance_is_that_of_all_gradients_of_a_block(base, tmp_path) -> None:
    model = with_gradients(base, "full")
    watch = GradientVariance(model, base.roles, tmp_path / "g.json")
    watch(1, GRADIENT)
    for group, chosen in (("all", ""), ("norms", "norm")):
        for index, variance in enumerate(watch.by_block(group)):
            gradients = [
                p.grad.flatten()
                for n, p in model.named_parameters()
                if f".layers.{index}." in n and chosen in n
            ]
            assert variance == pytest.approx(float(torch.cat(gradients).var(unbiased=False)))


@pytest.mark.parametrize(
    ("name", "in_blocks", "in_norms"),
    [
        ("layernorm", True, True),
        ("lora", True, False),
        ("adapter_serial", True, False),
        ("connector", False, False),
        ("prompt", False, False),
    ],
)
def test_a_block_in_which_nothing_trains_has_none(
    name, in_blocks, in_norms, base, tmp_path
) -> None:
    watch = GradientVariance(with_gradients(base, name), base.roles, tmp_path / "g.json")
    watch(1, GRADIENT)
    assert [v is not None for v in watch.by_block("all")] == [in_blocks] * 2
    assert [v is not None for v in watch.by_block("norms")] == [in_norms] * 2


def test_what_it_saw_survives_a_kill_and_later_steps_do_not_count(base, tmp_path) -> None:
    model, file = with_gradients(base, "layernorm"), tmp_path / "g.json"
    watch = GradientVariance(model, base.roles, file)
    for step in range(1, FIRST_STEPS + 1):
        watch(step, GRADIENT)
    seen = watch.by_block("all")
    resumed = GradientVariance(model, base.roles, file)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad *= 2
    resumed(FIRST_STEPS + 1, GRADIENT)
    assert resumed.by_block("all") == seen


def test_a_trial_leaves_both_analyses(trial_config, tmp_path) -> None:
    config = trial_config()
    result = run_trial(
        config, out=tmp_path, report=lambda step, m: None, worker=Worker(tmp_path / "cache")
    )
    content = json.loads(Path(tmp_path / "analysis.json").read_text())
    assert result.metrics["analysis/layer_similarity"] == content["layer_similarity"][0][1]
    variance = content["gradient_variance"]
    assert result.metrics["analysis/grad_variance"] == pytest.approx(sum(variance["all"]) / 2)
    assert variance["all"] == variance["norms"]  # LayerNorm tuning trains nothing else in a block
    predicted = result.metrics["memory/predicted_training_gib"]
    assert 0 < predicted < result.metrics["memory/predicted_gib"]
    assert result.metrics["memory/training_gib"] > 0
    assert result.metrics["params/by_role/norm"] == 5 * 32
