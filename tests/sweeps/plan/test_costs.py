"""Predicted costs: what fits, what would, GPU-hours."""

from dataclasses import replace

import pytest

from lnt_core.accounting.parameters import count_parameters
from lnt_core.errors import ConfigError
from lnt_core.models.build import build_on_meta
from sweeps.config import SweepConfig
from sweeps.plan.checks import check_sweep
from sweeps.plan.cost import Cost
from sweeps.plan.costs import Costs
from sweeps.plan.load import load_sweep
from sweeps.plan.planned import plan
from sweeps.plan.space import strategies
from tests.parts import VISION

pytestmark = pytest.mark.heavy

PARTS = ("weights_gib", "gradients_gib", "optimizer_gib", "activations_gib")


def cost(*overrides: str) -> Cost:
    """The cost of LayerNorm tuning under the preset `paper-7b` with these overrides."""
    given = ("search.strategy=[layernorm]", "search.learning_rate=[1e-4]", *overrides)
    (trial,) = plan(load_sweep("paper-7b", given), files=False).trials
    return trial.cost


def parts_gib(found: Cost) -> float:
    return sum(getattr(found.step, part) for part in PARTS)


def test_gpu_hours_follow_the_stated_peak_and_share() -> None:
    slow = cost("resources.mfu=0.2", "resources.gpu_peak_tflops=100")
    fast = cost("resources.mfu=0.4", "resources.gpu_peak_tflops=200")
    assert slow.gpu_hours == pytest.approx(4 * fast.gpu_hours)
    # 80k samples of 512 tokens; forward and to the inputs, 2 FLOPs a weight each, of 6.7e9
    assert slow.train_pflop == pytest.approx(80_000 * 512 * 4 * 6.7e9 / 1e15, rel=0.1)
    pflop = fast.train_pflop + fast.analysis_pflop
    assert fast.gpu_hours == pytest.approx(pflop * 1e15 / 200e12 / 0.4 / 3600)


def test_the_analysis_is_counted_unless_it_is_left_out() -> None:
    small = ("train.micro_batch_size=1", "data.select.batch_size=1", "data.select.max_new_tokens=1")
    small = (*small, "train.gradient_checkpointing=true")
    own = ("resources.gpu_peak_tflops=100", "search.strategy=[layernorm_simple]", *small)
    found = cost(*own, "train.max_length=300")
    # one block's output for 8 images, the MLP's inside it, and little more
    block_gib = 8 * 300 * 4096 * 4 / 2**30
    assert 3 * block_gib < found.analysis_gib - found.step.weights_gib < 20 * block_gib
    assert found.analysis_pflop == pytest.approx(32 * 300 * 2 * 6.6e9 / 1e15, rel=0.2)
    assert found.memory_gib == found.analysis_gib
    room_gib = (max(found.step.peak_gib, found.evaluation_gib) + found.analysis_gib) / 2
    own = (*own, "train.max_length=300", f"resources.gpu_memory_gib={room_gib}")
    assert cost(*own).too_big == (
        f"the analysis of layers needs {found.analysis_gib:.1f} GiB, which do not fit "
        f"{room_gib:g} GiB; train.analyse: false leaves it out"
    )
    without = cost(*own, "train.analyse=false")
    assert without.analysis_gib == without.analysis_pflop == 0
    assert (without.step, without.too_big) == (found.step, "")
    hours = found.analysis_pflop * 1e15 / 100e12 / 0.4 / 3600
    assert found.gpu_hours - without.gpu_hours == pytest.approx(hours)


def test_a_trial_that_does_not_fit_is_told_with_what_would() -> None:
    assert cost("resources.gpu_memory_gib=80").too_big == ""
    smaller = cost("resources.gpu_memory_gib=36")
    assert smaller.too_big.startswith(f"{smaller.memory_gib:.1f} GiB do not fit 36 GiB; ")
    assert "micro_batch_size 4 would" in smaller.too_big
    sharded = cost("resources.gpu_memory_gib=24")
    assert "with ZeRO stage 3 on 2 GPUs would" in sharded.too_big
    shared = cost("resources.gpu_memory_gib=80", "resources.gpus_per_trial=0.5")
    assert "do not fit 40 GiB" in shared.too_big


def test_captions_that_do_not_fit_are_told_with_how_many_would() -> None:
    many = ("data.select.batch_size=4096", "train.micro_batch_size=1")
    found = cost("resources.gpu_memory_gib=80", *many)
    gib = found.evaluation_gib
    told = f"captioning needs {gib:.1f} GiB, which do not fit 80 GiB; data.select.batch_size "
    assert found.too_big.startswith(told)
    size, _, rest = found.too_big.removeprefix(told).partition(" ")
    assert rest.startswith("would (")
    fits = cost("resources.gpu_memory_gib=80", many[1], f"data.select.batch_size={size}")
    assert fits.too_big == ""
    assert fits.evaluation_gib <= 80 < 2 * fits.evaluation_gib
    midway = cost(many[1], "train.evaluate_at_steps=[3]", f"data.select.batch_size={size}")
    assert midway.evaluation_gib == pytest.approx(fits.evaluation_gib + fits.step.optimizer_gib)


def test_a_micro_batch_to_be_found_is_that_of_the_stated_gpu() -> None:
    found = cost("train.micro_batch_size=auto", "resources.gpu_memory_gib=48")
    size = found.micro_batch_size
    given = cost(f"train.micro_batch_size={size}", "resources.gpu_memory_gib=48")
    assert replace(found, alone=given.alone) == given  # alone: at micro batch 1 if it is found
    twice = cost(f"train.micro_batch_size={2 * size}")
    assert parts_gib(found) <= 0.9 * 48 < parts_gib(twice)


def test_what_fits_only_without_a_reserve_is_flagged() -> None:
    attn_mlp = "search.strategy=[attn_mlp]"
    tight = cost("train.micro_batch_size=auto", attn_mlp)  # the preset's 80 GiB
    assert 0.9 * 80 < tight.memory_gib < 80
    assert tight.micro_batch_size == 1
    found = "micro_batch_size 1 with gradient checkpointing, found automatically: "
    assert tight.too_big.startswith(found)
    assert "so it may run out" in tight.too_big


@pytest.mark.parametrize(
    ("resources", "size", "on"),
    [
        ({}, None, None),
        ({"gpu_memory_gib": 80}, None, None),  # of a GPU that no trial has
        ({"gpus_per_trial": 1}, None, None),
        ({"gpus_per_trial": 1, "gpu_memory_gib": 80}, 16, False),
        ({"gpus_per_trial": 0.5, "gpu_memory_gib": 0.062}, 4, False),  # 8 with it
        ({"gpus_per_trial": 0.25, "gpu_memory_gib": 0.06}, 1, True),
    ],
)
def test_what_is_auto_is_found_here_for_a_stated_gpu_alone(resources, size, on) -> None:
    found = of_tiny(resources, micro_batch_size="auto")
    assert (found.micro_batch_size, found.gradient_checkpointing) == (size, on)
    assert found.gpu_hours > 0
    if size is None:
        one = of_tiny(resources, micro_batch_size=1, gradient_checkpointing=False)
        assert found.step == one.step


def of_tiny(resources: dict, strategy: str = "full", **train) -> Cost:
    """The cost of a trial of the tiny model."""
    content = {
        "name": "s",
        "model": {"tiny": True},
        "search": {"strategy": [strategy], "learning_rate": [1e-3]},
        "train": {"batch_size": 16, "max_steps": 10, "precision": "fp32"} | train,
        "resources": resources | {"gpu_peak_tflops": 100},
    }
    (trial,) = plan(SweepConfig.model_validate(content)).trials
    return trial.cost


def test_checkpointing_is_on_where_the_stated_gpu_would_not_hold_the_step_otherwise() -> None:
    gpu, size = {"gpus_per_trial": 1}, {"micro_batch_size": 16}
    whole, lean = (of_tiny(gpu, **size, gradient_checkpointing=on) for on in (False, True))
    assert lean.step.peak_gib < 0.9 * whole.step.peak_gib
    needed_gib = whole.step.peak_gib / 0.9
    for memory_gib, expected in ((1.01 * needed_gib, whole), (0.99 * needed_gib, lean)):
        found = of_tiny(gpu | {"gpu_memory_gib": memory_gib}, **size)
        assert found.gradient_checkpointing is expected.gradient_checkpointing
        assert found.step == expected.step
        assert found.alone == lean.step
    unknown = of_tiny(gpu, **size)
    assert (unknown.gradient_checkpointing, unknown.step) == (None, whole.step)
    assert unknown.activations_gib["checkpointed"] == lean.step.activations_gib


@pytest.mark.parametrize("memory", [{}, {"gpu_memory_gib": 0.001}])
def test_a_strategy_that_allows_no_checkpointing_is_predicted_without(memory) -> None:
    found = of_tiny({"gpus_per_trial": 1} | memory, "prefix")
    assert found.gradient_checkpointing is False
    assert found.step == found.alone


def test_checkpointing_is_told_both_ways() -> None:
    found = cost()
    assert found.activations_gib["checkpointed"] == found.step.activations_gib
    assert found.activations_gib["checkpointed"] < found.activations_gib["whole"]
    assert found.memory_gib == pytest.approx(parts_gib(found))
    assert sum(found.trainable_by_role.values()) == found.trainable_parameters


def test_each_combination_of_values_has_its_own_cost() -> None:
    content = {
        "name": "s",
        "model": {"tiny": True},
        "search": {
            "strategy": ["full"],
            "learning_rate": [1e-3],
            "values": {"train.micro_batch_size": [4, 16]},
        },
        "train": {"batch_size": 16, "max_steps": 10, "gradient_checkpointing": False},
    }
    small, large = plan(SweepConfig.model_validate(content)).trials
    assert small.options == "train.micro_batch_size=4"
    assert small.cost.step.activations_gib < large.cost.step.activations_gib
    assert small.cost.train_pflop == pytest.approx(large.cost.train_pflop, rel=0.01)


def test_a_model_without_a_strategys_part_is_named_with_what_it_lacks() -> None:
    language = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 500}
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {
                "language_model": "x",
                "vision_tower": "y",
                "shapes": {
                    "language": language,
                    "vision": {"model_type": "clip_vision_model", **VISION},
                },
            },
            "data": {
                "tune": {"annotations": "a", "images": "i"},
                "select": {"task": "coco", "annotations": "a", "images": "i"},
            },
            "search": {"strategy": ["layernorm", "attn_qv", "lora"]},
        }
    )
    problems = Costs(sweep, files=False).problems(strategies(sweep))
    assert [problem.split(":")[1].strip() for problem in problems] == ["attn_qv", "lora"]
    assert "a linear `q_proj` or `query` or `wq` (not fused)" in problems[0]


def test_a_norm_that_is_not_there_is_refused_before_the_start(parts, scenes) -> None:
    language, vision = parts
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"language_model": language, "vision_tower": vision},
            "data": {
                "tune": scenes.tune.model_dump(exclude_none=True, exclude={"kinds"}),
                "select": scenes.select.model_dump(exclude_none=True),
            },
            "search": {"strategy": [{"name": "layernorm", "target_modules": ["ln"]}]},
        }
    )
    with pytest.raises(ConfigError, match=r"strategy.target_modules is 'ln', but must be one of"):
        check_sweep(sweep)


def test_what_a_strategy_adds_is_not_allocated() -> None:
    wide = "{name: lora, rank: 16384}, {name: adapter_serial, width: 16384}"
    tokens = (
        "{name: prefix, num_tokens: 4096, hidden_size: 16384}, {name: prompt, num_tokens: 4096}"
    )
    given = (f"search.strategy=[{wide}, {tokens}]", "train.gradient_checkpointing=false")
    sweep = load_sweep("paper-7b", given)
    costs = Costs(sweep, files=False)
    for strategy in strategies(sweep):
        tuned = costs.tuned(sweep, strategy).model
        assert all(parameter.is_meta for parameter in tuned.parameters()), strategy.name


@pytest.mark.parametrize(
    ("preset", "billions"),
    [
        ("qwen2.5-vl-3b", 3.75),
        ("smolvlm2-2.2b", 2.25),
        ("gemma-3-4b", 4.30),
        ("internvl3-2b", 2.09),
    ],
)
def test_a_preset_has_the_parameters_of_the_published_checkpoint(preset, billions) -> None:
    """As its page on the Hub counts them; without a file of it."""
    model = build_on_meta(load_sweep(preset).model)
    assert round(count_parameters(model).total / 1e9, 2) == billions
