"""One trial on all GPUs, or a trial on each: the arithmetic, and what the plan says of it."""

import json

import pytest

from sweeps.cli.main import main
from sweeps.plan.makespan import makespan

STRATEGIES = "search.strategy=[layernorm_simple, full]"


def test_trials_in_order_take_the_first_free_place() -> None:
    assert makespan([5.0], 4) == 5.0
    assert makespan([4.0, 1.0, 1.0, 1.0, 1.0], 2) == 4.0
    assert makespan([1.0] * 66, 4) == 17.0
    assert makespan([], 4) == 0.0


def told(capsys, *overrides: str) -> tuple[dict, list[dict]]:
    sets = [part for value in overrides for part in ("--set", value)]
    argv = ["plan", "paper-7b", "--no-files", "--json", "--set", "search.learning_rate=[1e-3,1e-4]"]
    assert main([*argv, *sets]) == 0
    plan = json.loads(capsys.readouterr().out)
    return plan["makespans"], plan["trials"]


def test_the_plan_of_four_gpus_compares_both_ways(capsys) -> None:
    spans, trials = told(capsys, STRATEGIES, "resources.scaling_efficiency=0.8")
    small, _, large, _ = (trial["gpu_hours"] for trial in trials)
    assert spans["side_by_side_h"] == pytest.approx(large)  # four trials on four GPUs
    assert spans["in_turn_h"] == pytest.approx(2 * (small + large) / (4 * 0.8))
    assert spans["too_big"] == ["full"]
    assert spans["mixed_h"] == pytest.approx(2 * large / (4 * 0.8) + small)
    slow, fast = spans["side_by_side_h"], spans["in_turn_h"]
    name = "Side by side" if slow < fast else "One after another"
    assert spans["verdict"].startswith(f"{name} is faster, by ")


def test_a_trial_of_four_workers_fits_where_one_does_not(capsys) -> None:
    four = ("train.deepspeed=zero3", "resources.workers_per_trial={full: 4}")
    _, alone = told(capsys, "search.strategy=[full]")
    _, shared = told(capsys, "search.strategy=[full]", *four)
    assert alone[0]["too_big"]
    assert shared[0]["too_big"] is None
    one, each = alone[0]["memory"], shared[0]["memory"]
    for part in ("weights_gib", "gradients_gib", "optimizer_gib"):
        assert each[part] == pytest.approx(one[part] / 4)
    assert each["activations_gib"] == one["activations_gib"]
