"""Predicted costs in the plan: what fits, what would, GPU-hours, lengths."""

import json

import pytest

from lnt_core.accounting.lengths import estimated_lengths
from lnt_core.config import DataConfig, ScenesConfig
from sweeps.cli.main import EXIT_DONE, EXIT_REFUSED, main
from sweeps.cli.plan import print_plan
from sweeps.config import SweepConfig
from sweeps.plan.costs import Costs
from sweeps.plan.planned import plan
from sweeps.plan.space import strategies
from tests.conftest import VISION


def planned(capsys, *overrides: str, preset: str = "paper-7b") -> list[dict]:
    argv = ["plan", preset, "--no-files", "--json"]
    for override in ("search.strategy=[layernorm]", "search.learning_rate=[1e-4]", *overrides):
        argv += ["--set", override]
    assert main(argv) == EXIT_DONE
    return json.loads(capsys.readouterr().out)["trials"]


def test_gpu_hours_follow_the_stated_peak_and_share(capsys) -> None:
    (slow,) = planned(capsys, "resources.mfu=0.2", "resources.gpu_peak_tflops=100")
    (fast,) = planned(capsys, "resources.mfu=0.4", "resources.gpu_peak_tflops=200")
    assert slow["gpu_hours"] == pytest.approx(4 * fast["gpu_hours"])
    # 80k samples of 512 tokens; forward and to the inputs, 2 FLOPs a weight each, of 6.7e9
    assert slow["train_pflop"] == pytest.approx(80_000 * 512 * 4 * 6.7e9 / 1e15, rel=0.1)
    assert fast["gpu_hours"] == pytest.approx(fast["train_pflop"] * 1e15 / 200e12 / 0.4 / 3600)


def test_a_trial_that_does_not_fit_is_told_with_what_would(capsys) -> None:
    (fits,) = planned(capsys, "resources.gpu_memory_gib=80")
    assert fits["too_big"] is None
    (smaller,) = planned(capsys, "resources.gpu_memory_gib=36")
    assert smaller["too_big"].startswith(f"{smaller['memory_gib']:.1f} GiB do not fit 36 GiB; ")
    assert "micro_batch_size 4 would" in smaller["too_big"]
    (sharded,) = planned(capsys, "resources.gpu_memory_gib=24")
    assert "with ZeRO stage 3 on 2 GPUs would" in sharded["too_big"]
    (shared,) = planned(capsys, "resources.gpu_memory_gib=80", "resources.gpus_per_trial=0.5")
    assert "do not fit 40 GiB" in shared["too_big"]


PARTS = ("weights_gib", "gradients_gib", "optimizer_gib", "activations_gib")


def test_a_micro_batch_to_be_found_is_that_of_the_stated_gpu(capsys) -> None:
    (found,) = planned(capsys, "train.micro_batch_size=auto", "resources.gpu_memory_gib=48")
    size = found["micro_batch_size"]
    (same,) = planned(capsys, f"train.micro_batch_size={size}", "resources.gpu_memory_gib=48")
    (twice,) = planned(capsys, f"train.micro_batch_size={2 * size}")
    changed = {key for key in found if found[key] != same[key]}
    assert changed == {"id"}  # it is a trial of its own: what is asked for names it
    peaks = [sum(trial["memory"][part] for part in PARTS) for trial in (found, twice)]
    assert peaks[0] <= 0.9 * 48 < peaks[1]


def test_what_fits_only_without_a_reserve_is_flagged(capsys) -> None:
    attn_mlp = "search.strategy=[attn_mlp]"
    (tight,) = planned(capsys, "train.micro_batch_size=auto", attn_mlp)  # the preset's 80 GiB
    assert 0.9 * 80 < tight["memory_gib"] < 80
    assert tight["micro_batch_size"] == 1
    assert tight["too_big"].startswith("micro_batch_size 1, found automatically: ")
    assert "so it may run out" in tight["too_big"]


@pytest.mark.parametrize(
    ("resources", "size"),
    [
        ({}, None),
        ({"gpu_memory_gib": 80}, None),  # of a GPU that no trial has
        ({"gpus_per_trial": 1}, None),
        ({"gpus_per_trial": 1, "gpu_memory_gib": 80}, 16),
        ({"gpus_per_trial": 0.5, "gpu_memory_gib": 0.06}, 8),
        ({"gpus_per_trial": 0.25, "gpu_memory_gib": 0.06}, 1),
    ],
)
def test_a_micro_batch_is_found_here_for_a_stated_gpu_or_said_to_be_found_there(
    resources, size, capsys
) -> None:
    content = {
        "name": "s",
        "model": {"tiny": True},
        "search": {"strategy": ["full"], "learning_rate": [1e-3]},
        "train": {"batch_size": 16, "micro_batch_size": "auto", "max_steps": 10},
        "resources": resources | {"gpu_peak_tflops": 100},
    }
    sweep = SweepConfig.model_validate(content)
    (trial,) = planned_trials = plan(sweep)
    assert trial.cost.micro_batch_size == size
    assert trial.cost.gpu_hours > 0
    print_plan(sweep, planned_trials)
    told = "is found by each trial on its device; the memory printed is that of micro batch 1"
    assert (told in capsys.readouterr().out) == (size is None)
    if size is None:
        one = content | {"train": content["train"] | {"micro_batch_size": 1}}
        (of_one,) = plan(SweepConfig.model_validate(one))
        assert trial.cost.step == of_one.cost.step


def test_the_tables_for_people_show_it(capsys) -> None:
    argv = ["plan", "paper-7b", "--no-files", "--set", "search.strategy=[layernorm]"]
    assert main([*argv, "--set", "resources.gpu_memory_gib=36"]) == EXIT_DONE
    told = capsys.readouterr().out
    assert "(!) layernorm: " in told
    assert "at 40% of 156 TFLOP/s" in told
    assert "11 trials of 1 strategies" in told


def test_checkpointing_is_told_both_ways(capsys) -> None:
    (trial,) = planned(capsys)
    memory, activations = trial["memory"], trial["activations_gib"]
    assert activations["checkpointed"] == memory["activations_gib"] < activations["whole"]
    assert trial["memory_gib"] == pytest.approx(sum(memory[part] for part in PARTS))
    assert sum(trial["trainable_by_role"].values()) == trial["trainable_parameters"]


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
    small, large = plan(SweepConfig.model_validate(content))
    assert small.options == "train.micro_batch_size=4"
    assert small.cost.step.activations_gib < large.cost.step.activations_gib
    assert small.cost.train_pflop == pytest.approx(large.cost.train_pflop, rel=0.01)


def test_a_model_without_a_strategys_part_is_refused_before_anything_starts(capsys) -> None:
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
    assert "a linear `q_proj` or `query` or `wq`, not one fused" in problems[0]


def test_a_norm_that_is_not_there_is_refused_by_run(parts, scenes, tmp_path, capsys) -> None:
    language, vision = parts
    sweep = {
        "name": "s",
        "model": {"language_model": language, "vision_tower": vision},
        "data": {
            "tune": scenes.tune.model_dump(exclude_none=True, exclude={"kinds"}),
            "select": scenes.select.model_dump(exclude_none=True),
        },
        "search": {"strategy": [{"name": "layernorm", "target_modules": ["ln"]}]},
    }
    (tmp_path / "s.yaml").write_text(json.dumps(sweep))
    assert main(["run", str(tmp_path / "s.yaml")]) == EXIT_REFUSED
    assert "strategy.target_modules is 'ln', but must be one of" in capsys.readouterr().err


def test_lengths_of_drawn_scenes_are_near_those_of_real_text() -> None:
    lengths = estimated_lengths(
        DataConfig(scenes=ScenesConfig()),
        None,
        image_tokens=36,
        max_length=2048,
        seed=0,
        files=False,
    )
    assert lengths.num_samples == 15_000
    assert 36 + 8 < lengths.mean < lengths.longest < 36 + 40
