"""Helpers that train a model for a few steps with a strategy."""

import torch
from pydantic import TypeAdapter

from lnt_core.config import TrainConfig
from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import AnyStrategyConfig, get_strategy
from lnt_core.training.loader import Loading
from lnt_core.training.loop import Hooks, train
from tests.images import features

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
        loading=Loading(FeatureStore(base, max_bytes=2**20), pad_id=0),
        hooks=Hooks(lambda step, metrics: None),
    )
    return model


def inputs(base, scenes):
    sample = load_samples(scenes.tune, seed=0)[0]
    ids = torch.tensor([base.conversations.encode(sample).input_ids])
    return {"input_ids": ids, "pixel_values": features(base, sample.images)}
