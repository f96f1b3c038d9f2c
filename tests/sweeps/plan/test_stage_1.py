"""Stage 1 in the plan: what it costs, and how often it is trained."""

import pytest

from lnt_core.identity import align_id
from lnt_core.worker import Worker
from sweeps.config import SweepConfig
from sweeps.plan.base import base_config
from sweeps.plan.costs import Costs
from sweeps.plan.load import load_sweep
from sweeps.plan.planned import Plan
from sweeps.plan.stage_1 import PlannedStage1, planned_stages_1

pytestmark = pytest.mark.heavy


def stages(*overrides: str) -> list[PlannedStage1]:
    """Those of the preset `paper-7b`, without its trials."""
    sweep = load_sweep("paper-7b", overrides)
    return planned_stages_1(sweep, Costs(sweep, files=False))


def test_that_of_the_paper_takes_days_of_a_gpu() -> None:
    (stage,) = stages()
    # 595k samples of 350 tokens, 3 times; forward and to the inputs, 2 FLOPs a weight each
    assert stage.train_pflop == pytest.approx(3 * 595_000 * 350 * 4 * 6.7e9 / 1e15, rel=0.1)
    assert stage.gpu_hours == pytest.approx(stage.train_pflop * 1e15 / 156e12 / 0.4 / 3600)
    assert stage.gpu_hours > 60
    assert stage.num_steps == 3 * 595_000 // 128
    assert stage.trainable_parameters == 1024 * 4096 + 4096
    assert stage.step.optimizer_gib == pytest.approx(2 * stage.step.gradients_gib, rel=0.01)
    assert (stage.values, stage.too_big) == ("", "")


def test_without_align_data_it_learns_from_the_tune_data_and_what_does_not_fit_is_told() -> None:
    (stage,) = stages("data.align=null", "resources.gpu_memory_gib=28")
    assert stage.num_steps == 3 * 80_000 // 128
    assert stage.train_pflop == pytest.approx(3 * 80_000 * 512 * 4 * 6.7e9 / 1e15, rel=0.1)
    told = f"stage 1: {stage.step.peak_gib:.1f} GiB do not fit 28 GiB; micro_batch_size "
    (line,) = Plan([stage], []).too_big()
    assert line.startswith(told)


def test_varied_values_have_a_stage_1_each_only_where_it_depends_on_them() -> None:
    formats = "search.values={train.precision: [tf32, bf16], train.weight_decay: [0.0, 0.1]}"
    found = stages(formats)
    assert [stage.values for stage in found] == ["train.precision=tf32", "train.precision=bf16"]
    assert found[1].step.weights_gib < 0.6 * found[0].step.weights_gib


def test_several_workers_take_less_time_and_as_much_of_the_gpus() -> None:
    alone, four = (stages(f"align.workers={n}")[0] for n in (1, 4))
    sweep = load_sweep("paper-7b", ["align.workers=4"])
    assert (four.num_workers, four.gpu_hours) == (4, alone.gpu_hours)
    assert four.id == alone.id  # whoever trains it, it is the same
    assert four.step == alone.step  # each holds the whole model
    assert four.hours(sweep) == pytest.approx(alone.gpu_hours / (4 * 0.9))


def test_it_is_the_one_that_a_sweep_trains(micro, tmp_path) -> None:
    sweep = SweepConfig.model_validate(micro)
    (stage,) = planned_stages_1(sweep, Costs(sweep, files=True))
    config, _ = base_config(sweep)
    told: list[int] = []
    Worker(tmp_path).prepare(config, report=lambda step, metrics: told.append(step))
    (saved,) = tmp_path.glob("align-*.pt")
    assert saved.name == f"align-{stage.id}.pt" == f"align-{align_id(config)}.pt"
    assert told[-1] == len(told) == stage.num_steps
