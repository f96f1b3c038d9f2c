"""The predicted step, against what a process took and against counts by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lnt_core.accounting.parameters import count_parameters
from lnt_core.accounting.predicted import StepCost, predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.accounting.trial_costs import TrialSteps
from lnt_core.config import TrainConfig, TuneConfig
from lnt_core.data.conversation import Encoded
from lnt_core.devices.memory import GIB
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, get_strategy
from lnt_core.training.optimizer import adamw

pytestmark = pytest.mark.wide

SHAPE = StepShape(batch=8, tokens=40, image_tokens=16, feature_channels=32, answer_tokens=20)
CASES = [
    *("full:whole", "lora:whole", "lora:checkpointed", "attn_qv:whole", "layernorm:whole"),
    *("layernorm:checkpointed", "layernorm_simple:whole", "adapter_serial:whole", "prefix:whole"),
]


def train_config(**changes) -> TrainConfig:
    content = {"batch_size": 8, "micro_batch_size": 8, "gradient_checkpointing": False}
    return TrainConfig.model_validate(content | changes)


def predicted(base, name: str, shape: StepShape = SHAPE, *, on_gpu=False, **changes) -> StepCost:
    strategy = get_strategy(name)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    train = train_config(**changes)
    return predict_step(model, strategy, base.roles, train, shape, on_gpu=on_gpu)


@pytest.mark.heavy
def test_memory_is_within_15_percent_of_what_a_process_took() -> None:
    """Resident memory of a process that trains the tiny architecture (docs/LOG.md has all)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lnt_core.accounting.measure", *CASES],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(rows) == len(CASES)
    errors = {case: p / m - 1 for case, (p, m) in zip(CASES, rows, strict=True)}
    assert {case: error for case, error in errors.items() if abs(error) > 0.15} == {}


@pytest.mark.parametrize("name", STRATEGIES)
def test_predicting_changes_nothing_and_the_state_is_that_of_adamw_in_fp32(name, base) -> None:
    strategy = get_strategy(name)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    random_state = torch.get_rng_state()
    cost = predict_step(model, strategy, base.roles, train_config(), SHAPE, on_gpu=False)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.grad is None and torch.equal(p, before[n]) for n, p in model.named_parameters())
    trainable_gib = count_parameters(model).trainable * 4 / GIB
    tensors = sum(p.requires_grad for p in model.parameters())
    assert cost.gradients_gib == pytest.approx(trainable_gib)
    assert cost.optimizer_gib == pytest.approx(2 * trainable_gib + tensors * 4 / GIB)  # step counts


@pytest.mark.parametrize("name", STRATEGIES)
def test_standing_memory_is_what_a_trials_tensors_hold(name, base) -> None:
    """Weights with the base's originals, gradients and optimizer state, by unique storages."""
    strategy = get_strategy(name)
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = adamw(trained, train_config(), on_gpu=False)
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held = [
        *(t for module in (model, base.model) for t in (*module.parameters(), *module.buffers())),
        *(parameter.grad for parameter in trained),
        *(value for state in optimizer.state.values() for value in state.values()),
    ]
    resident = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    ids = (base.model.config.image_token_id,) * 16 + (5,) * 24
    samples = [Encoded(ids, (-100,) * 20 + (5,) * 20, (Path("image.png"),))]
    prepared = SimpleNamespace(base=base, samples=samples)
    steps = TrialSteps(model, strategy, strategy.Config(), prepared, {})
    cost = steps.of(TuneConfig.model_validate(train_config().model_dump()))
    standing = cost.weights_gib + cost.gradients_gib + cost.optimizer_gib
    assert standing == pytest.approx(sum(resident.values()) / GIB, rel=0.05)


def test_frozen_layers_cost_no_gradient_of_theirs(base) -> None:
    full, norms = predicted(base, "full"), predicted(base, "layernorm_simple")
    assert 0.6 < norms.flops / full.flops < 0.75  # 2 of 3 products: none to the weights
    assert norms.activations_gib < full.activations_gib


def test_checkpointing_trades_memory_for_compute(base) -> None:
    long = StepShape(batch=32, tokens=200, image_tokens=16, feature_channels=32, answer_tokens=20)
    whole = predicted(base, "layernorm", long, batch_size=32, micro_batch_size=32)
    lean = predicted(
        base, "layernorm", long, batch_size=32, micro_batch_size=32, gradient_checkpointing=True
    )
    assert lean.activations_gib < 0.75 * whole.activations_gib
    assert 1.2 < lean.flops / whole.flops < 1.5


def test_the_gpus_optimiser_needs_no_temporaries(base) -> None:
    tiny_step = StepShape(batch=1, tokens=18, image_tokens=16, feature_channels=32, answer_tokens=1)
    changes = {"batch_size": 1, "micro_batch_size": 1}
    on_cpu = predicted(base, "full", tiny_step, **changes)
    assert on_cpu.activations_gib >= on_cpu.gradients_gib
    assert predicted(base, "full", tiny_step, on_gpu=True, **changes).peak_gib < on_cpu.peak_gib
