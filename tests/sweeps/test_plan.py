"""Predicted costs in the plan: what fits, what would, GPU-hours, lengths."""

import json

import pytest

from lnt_core.accounting.lengths import estimated_lengths
from lnt_core.config import DataConfig, ScenesConfig
from sweeps.cli import EXIT_DONE, EXIT_REFUSED, main
from sweeps.config import SweepConfig
from sweeps.costs import Costs
from sweeps.plan import plan
from sweeps.space import strategies
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
    parts = ("weights_gib", "gradients_gib", "optimizer_gib", "activations_gib")
    assert trial["memory_gib"] == pytest.approx(sum(memory[part] for part in parts))
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
