"""The predicted step of checkpoints whose connectors differ, against the step itself."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from torch import nn

from lnt_core.accounting.connector import feature_channels
from lnt_core.accounting.ledger import Ledger
from lnt_core.accounting.parameters import count_parameters, num_left_out
from lnt_core.accounting.predicted import predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.accounting.trial_costs import TrialSteps
from lnt_core.config import ModelConfig, TrainConfig, TuneConfig
from lnt_core.data.conversation import Encoded
from lnt_core.devices.memory import held_by
from lnt_core.models.build import load_base
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy
from tests.vlm_checkpoints import save
from tests.vlm_families import FAMILIES

pytestmark = pytest.mark.wide

TRAIN = TrainConfig(batch_size=2, micro_batch_size=2, gradient_checkpointing=False)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A family's base, and a batch of twice the same conversation of an image."""
    folder = tmp_path_factory.mktemp(request.param)
    base = load_base(ModelConfig(checkpoint=save(request.param, folder)), cache=folder)
    pixels = np.random.default_rng(0).integers(0, 255, (90, 60, 3), dtype=np.uint8)
    images = [[Image.fromarray(pixels)]] * 2
    given = base.processor(
        text=[f"{base.processor.image_token}What is there?"] * 2,
        images=images,
        return_tensors="pt",
    )
    given.pop("labels", None)
    return base, {**given, **base.joined(base.image_inputs(images))}


def tuned(base, name: str):
    strategy = get_strategy(name)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    return model.train(), strategy


@pytest.mark.parametrize("name", ["full", "connector"])
def test_flops_are_those_of_a_step(family, name) -> None:
    base, inputs = family
    model, strategy = tuned(base, name)
    batch, tokens = inputs["input_ids"].shape
    image_id = base.model.config.image_token_id
    shape = StepShape(
        batch=batch,
        tokens=tokens,
        image_tokens=int((inputs["input_ids"][0] == image_id).sum()),
        feature_channels=feature_channels(base.model, base.roles),
        answer_tokens=tokens - 1,
    )
    cost = predict_step(model, strategy, base.roles, TRAIN, shape, on_gpu=False)
    ledger, of_patches = Ledger(), [0]
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):  # the tower still embeds patches of ones
            count_flops_of(module, ledger, of_patches)
    with ledger:
        model(**inputs, labels=inputs["input_ids"], use_cache=False).loss.backward()
    assert cost.flops == pytest.approx(ledger.flops - of_patches[0], rel=0.02)


def test_each_weight_is_counted_once(family) -> None:
    base, inputs = family
    model, strategy = tuned(base, "full")
    total = sum(parameter.numel() for parameter in base.model.parameters())
    left_out = num_left_out(model, base.model, base.roles)
    assert count_parameters(model, left_out=left_out).total == total
    ids = tuple(inputs["input_ids"][0].tolist())
    prepared = SimpleNamespace(base=base, samples=[Encoded(ids, ids, (Path("image.png"),))])
    steps = TrialSteps(model, strategy, strategy.Config(), prepared, {})
    assert 0 < steps.lengths.image_tokens < len(ids) == steps.lengths.longest
    cost = steps.of(TuneConfig.model_validate(TRAIN.model_dump()))
    assert cost.weights_gib == pytest.approx(held_by(model, base.model))


def count_flops_of(module: nn.Module, ledger: Ledger, count: list[int]) -> None:
    """Add what a module's forward passes take to ``count[0]``."""
    begun = []
    module.register_forward_pre_hook(lambda *_: begun.append(ledger.flops))

    def ended(*_: object) -> None:
        count[0] += ledger.flops - begun.pop()

    module.register_forward_hook(ended)
