"""AdaLoRA: rank budget, penalty, options."""

import itertools

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from lnt_core.config import TrainConfig
from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.strategies.weights import load_weights, save_weights
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, train
from tests.lnt_core.strategies.trained import inputs, options, trained


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
        loading=Loading(FeatureStore(base, max_bytes=2**20), pad_id=0),
        hooks=Hooks(lambda step, metrics: heard.append(metrics)),
    )
    assert all(metrics["train/penalty"] > 0.1 for metrics in heard)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"init_rank": 4, "target_rank": 4}, "must be below `init_rank` (4)"),
        ({"initial_ratio": 0.7}, "`final_ratio` must be below 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, message) -> None:
    with pytest.raises(ValidationError) as refusal:
        options("adalora", **given)
    assert message in str(refusal.value)
