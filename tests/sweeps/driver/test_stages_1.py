"""Every stage 1 of a sweep, as its driver sees it."""

from types import SimpleNamespace

import pytest

from lnt_core.errors import ConfigError
from lnt_core.training.checkpoints import save_atomically
from lnt_core.worker import connector_file
from sweeps.config import SweepConfig
from sweeps.driver.stages_1 import Stages1, check_budget, to_train_before
from sweeps.plan.base import stages_1
from sweeps.plan.planned import Plan
from sweeps.storage.stage_1 import stage_1_end
from tests.sweeps.driver.executions import at_rate, context_of

FORMATS = {"values": {"train.precision": ["fp32", "bf16"]}}


class Followed(list):
    """In place of a tracker."""

    def follow_stage_1(self, run) -> None:
        self.append(run)


def keep(config, cache) -> None:
    """Fill the cache with the stage 1 of a trial."""
    save_atomically({}, connector_file(config, cache))


def test_each_is_followed_once_and_one_in_the_cache_has_ended(tmp_path) -> None:
    context, told = context_of(tmp_path, **FORMATS), Followed()
    first, second = stages_1(context.sweep).values()
    keep(second.config, context.cache)
    stages = Stages1(context, told, {"lnt.sweep": "s"})
    names = ["stage 1 train.precision=fp32", "stage 1 train.precision=bf16"]
    assert [run.name for run in told] == names
    assert [run.trial_id for run in told] == [first.id, second.id]
    assert told[0].tags["lnt.sweep"] == "s"
    ends = [stage_1_end(context.execution, stage.id) for stage in (first, second)]
    assert ends == [None, "finished"]
    clone = first.config.model_copy(
        update={"align": first.config.align.model_copy(update={"seed": 7})}
    )
    for _ in range(2):
        stages.follow(clone)
    assert [run.name for run in told[2:]] == ["stage 1"]


def test_its_steps_are_known_by_the_id_of_the_base_of_a_group_and_of_a_trial(tmp_path) -> None:
    context = context_of(tmp_path)
    stages, (name,) = Stages1(context, Followed(), {}), stages_1(context.sweep)
    ids = ("base", f"align-{name}", at_rate(context, 1e-3).id)
    assert [stages.steps(given) for given in ids] == [1, 1, 1]  # 40 scenes, 128 in a batch


def of(**changes) -> SweepConfig:
    content = {"name": "s", "model": {"tiny": True}, "search": {"strategy": ["full"]} | FORMATS}
    return SweepConfig.model_validate(content | changes)


def test_groups_train_only_what_the_cache_lacks(tmp_path) -> None:
    sweep = of(align={"workers": 2})
    first, second = to_train_before(sweep, tmp_path)
    keep(first.config, tmp_path)
    assert [stage.id for stage in to_train_before(sweep, tmp_path)] == [second.id]
    assert to_train_before(of(), tmp_path) == []  # one worker is the base's process, or a trial's


def test_one_that_is_predicted_to_spend_the_whole_budget_is_refused(tmp_path) -> None:
    sweep = of(budget={"gpu_hours": 10}, resources={"gpus_per_trial": 1})
    hours = dict(zip(stages_1(sweep), (6.0, 5.0), strict=True))
    planned = Plan([SimpleNamespace(id=name, gpu_hours=h) for name, h in hours.items()], [])
    with pytest.raises(ConfigError) as refused:
        check_budget(sweep, planned, tmp_path)
    assert str(refused.value) == (
        "budget.gpu_hours is 10, but stage 1 alone is predicted to take 11 GPU-hours, so that no "
        "trial could start: raise it, or shorten `align`"
    )
    keep(next(iter(stages_1(sweep).values())).config, tmp_path)
    check_budget(sweep, planned, tmp_path)  # the rest are 5
