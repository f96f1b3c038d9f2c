"""Every stage 1 of a sweep, as its driver sees it: its run in MLflow, its steps, its cost."""

import math
from pathlib import Path

from lnt_core.config import TrialConfig
from lnt_core.errors import ConfigError
from lnt_core.identity import align_id
from lnt_core.worker import is_prepared
from sweeps.config import SweepConfig
from sweeps.driver.steps import stage_1_steps
from sweeps.plan.base import Stage1, base_config, stages_1, sure_stages_1
from sweeps.plan.labels import short_rate
from sweeps.plan.planned import Plan
from sweeps.results import tags as tag
from sweeps.storage.execution import TrialStatus
from sweeps.storage.stage_1 import end_stage_1
from sweeps.tracking.dashboard import NOTE, stage_1_note
from sweeps.tracking.runs import TrialRun
from sweeps.tracking.tracker import Tracker
from sweeps.worker.context import BASE_ID, STAGE_1, Context


class Stages1:
    """Follows each stage 1 that the base or a trial has, once.

    Args:
        context: Context of the execution.
        tracker: Sends what is written to MLflow.
        tags: Tags that all runs have.
    """

    def __init__(self, context: Context, tracker: Tracker, tags: dict[str, str]) -> None:
        self._context = context
        self._tracker = tracker
        self._tags = tags
        self._known = stages_1(context.sweep)
        self._followed: set[str] = set()
        for stage in sure_stages_1(context.sweep):
            self.follow(stage.config)

    def follow(self, config: TrialConfig) -> None:
        """Send the stage 1 of a trial to MLflow from now on; nothing if it has none."""
        if config.align is None or (name := align_id(config)) in self._followed:
            return
        self._followed.add(name)
        context, shown = self._context, self.name(name)
        if is_prepared(config, context.cache):
            end_stage_1(context.execution, name, TrialStatus.FINISHED)
        run = stage_1_run(config, shown, context.sweep.name, context.cache, self._tags)
        self._tracker.follow_stage_1(run)

    def name(self, stage_1: str) -> str:
        """The name for users of the stage 1 of this id."""
        known = self._known.get(stage_1)
        return "stage 1" if known is None else known.name

    def steps(self, name: str) -> int:
        """Optimizer steps of a stage 1, given its id or that of the trial which trains it."""
        context = self._context
        if name == BASE_ID:
            config = base_config(context.sweep)[0]
        elif name.startswith(STAGE_1):
            config = self._known[name.removeprefix(STAGE_1)].config
        else:
            config = context.trial({"trial": name}).config
        return stage_1_steps(config, context.cache)


def to_train_before(sweep: SweepConfig, cache: Path) -> list[Stage1]:
    """Every stage 1 that a group of workers has yet to train before all else.

    What is missing here a trial trains itself, or, if it is that of the base and takes one worker,
    the process that scores the base.
    """
    groups = [stage for stage in sure_stages_1(sweep) if stage.is_group]
    return [stage for stage in groups if not is_prepared(stage.config, cache)]


def check_budget(sweep: SweepConfig, planned: Plan, cache: Path) -> None:
    """Refuse a sweep whose stage 1 is predicted to spend the whole budget, so that no trial starts.

    Raises:
        ConfigError: It would.
    """
    limit_h = sweep.budget.gpu_hours
    if limit_h is None:
        return
    missing = {s.id for s in sure_stages_1(sweep) if not is_prepared(s.config, cache)}
    hours = math.fsum(s.gpu_hours or 0.0 for s in planned.stages_1 if s.id in missing)
    if hours >= limit_h:
        raise ConfigError(
            f"budget.gpu_hours is {limit_h:g}, but stage 1 alone is predicted to take {hours:.3g} "
            "GPU-hours, so that no trial could start: raise it, or shorten `align`"
        )


def stage_1_run(
    config: TrialConfig, shown: str, sweep: str, cache: Path, tags: dict[str, str]
) -> TrialRun:
    """The MLflow run of a stage 1.

    Args:
        config: That of a trial that has it.
        shown: Name of the run.
        sweep: Name of the sweep.
        cache: Folder of what sweeps share.
        tags: Tags that all runs have.
    """
    assert config.align is not None
    name = align_id(config)
    own = {
        tag.NUM_STEPS: str(stage_1_steps(config, cache)),
        NOTE: stage_1_note(short_rate(config.align.learning_rate), sweep, name),
    }
    return TrialRun(name, shown, config, tags | own)
