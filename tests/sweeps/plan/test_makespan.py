"""Makespans: trials side by side on one GPU each, or one after another on all GPUs."""

import pytest

from lnt_core.accounting.predicted import StepCost
from sweeps.plan.load import load_sweep
from sweeps.plan.makespan import Makespans, makespan, makespans
from sweeps.plan.planned import Plan, plan

pytestmark = pytest.mark.heavy

STRATEGIES = "search.strategy=[layernorm_simple, full]"


def test_trials_in_order_take_the_first_free_place() -> None:
    assert makespan([5.0], 4) == 5.0
    assert makespan([4.0, 1.0, 1.0, 1.0, 1.0], 2) == 4.0
    assert makespan([1.0] * 66, 4) == 17.0
    assert makespan([], 4) == 0.0


def of(*overrides: str) -> tuple[Makespans, Plan]:
    """The plan of `paper-7b`, a preset for four GPUs, with two learning rates."""
    sweep = load_sweep("paper-7b", ("search.learning_rate=[1e-3,1e-4]", *overrides))
    planned = plan(sweep, files=False)
    spans = makespans(sweep, planned)
    assert spans is not None
    return spans, planned


def test_the_plan_of_four_gpus_compares_both_ways() -> None:
    spans, planned = of(STRATEGIES, "resources.scaling_efficiency=0.8")
    small, _, large, _ = (trial.cost.gpu_hours for trial in planned.trials)
    (stage_1,) = planned.stages_1
    first = stage_1.gpu_hours  # on one GPU, before all trials
    assert spans.stage_1_h == first > 10 * large
    assert spans.side_by_side_h == pytest.approx(first + large)  # four trials on four GPUs
    assert spans.in_turn_h == pytest.approx(first + 2 * (small + large) / (4 * 0.8))
    assert spans.too_big == ("full",)
    assert spans.mixed_h == pytest.approx(first + 2 * large / (4 * 0.8) + small)
    name = "Side by side" if spans.side_by_side_h < spans.in_turn_h else "One after another"
    assert spans.verdict.startswith(f"{name} takes ")


def _with_whole_tower(one: StepCost) -> float:
    """A fourth of the weights, of which each worker has the whole vision tower."""
    return (one.weights_gib - one.tower_gib) / 4 + one.tower_gib


def test_a_trial_of_four_workers_fits_where_one_does_not() -> None:
    four = ("train.deepspeed=zero3", "resources.workers_per_trial={full: 4}")
    spans, before = of("search.strategy=[full]")
    shared_spans, after = of("search.strategy=[full]", *four)
    alone, shared = before.trials[0], after.trials[0]
    assert alone.cost.too_big
    assert shared.cost.too_big == ""
    one, each = alone.cost.step, shared.cost.step
    assert each.weights_gib == pytest.approx(_with_whole_tower(one))
    assert each.gradients_gib == pytest.approx(one.gradients_gib / 4)
    # DeepSpeed's optimizer has a copy of its part of what trains, in float32 as the gradients
    assert each.optimizer_gib == pytest.approx((one.optimizer_gib + one.gradients_gib) / 4)
    assert each.activations_gib == one.activations_gib
    (alone_1,), (shared_1,) = before.stages_1, after.stages_1
    assert shared_1.gpu_hours == alone_1.gpu_hours
    assert (alone_1.num_workers, shared_1.num_workers) == (1, 4)
    assert shared_1.step.weights_gib == pytest.approx(_with_whole_tower(alone_1.step), rel=1e-3)
    assert shared_spans.stage_1_h == pytest.approx(spans.stage_1_h / (4 * 0.9))
