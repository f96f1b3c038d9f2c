"""Stage 1 in the plan: trained once for all trials that share it, and before them."""

from dataclasses import dataclass, replace

from lnt_core.accounting.fit import sharded
from lnt_core.accounting.parameters import count_parameters
from lnt_core.accounting.predicted import StepCost
from lnt_core.distributed.zero_config import stage_of
from lnt_core.strategies.connector import ConnectorConfig
from sweeps.config import SweepConfig
from sweeps.plan.base import Stage1, stages_1
from sweeps.plan.cost import gpu_hours, num_processed
from sweeps.plan.costs import Costs
from sweeps.plan.labels import options_text
from sweeps.plan.room import step_too_big

CONNECTOR = ConnectorConfig()


@dataclass(frozen=True)
class PlannedStage1:
    """A stage 1 of the plan, with its predicted cost."""

    id: str
    """As in the name of the connector's file."""
    values: str
    """The varied values that the trials that share it have in common; empty if all share it."""
    learning_rate: float
    num_steps: int
    num_workers: int
    """Processes that train it together."""
    trainable_parameters: int
    trainable_share: float
    micro_batch_size: int
    gradient_checkpointing: bool
    """Whether gradient checkpointing is on."""
    step: StepCost
    """One optimizer step of one worker, at the longest conversations."""
    activations_gib: dict[str, float]
    """As of a trial: ``checkpointed`` and ``whole``."""
    train_pflop: float
    gpu_hours: float | None
    """Training time at `resources.mfu` of `resources.gpu_peak_tflops`; None if no peak is given."""
    too_big: str
    """Why it does not fit `resources.gpu_memory_gib`, and what would; empty if it fits."""

    def hours(self, sweep: SweepConfig) -> float | None:
        """Hours until it is trained; None if no peak is given."""
        if self.gpu_hours is None or self.num_workers == 1:
            return self.gpu_hours
        return self.gpu_hours / (self.num_workers * sweep.resources.scaling_efficiency)


def planned_stages_1(sweep: SweepConfig, costs: Costs) -> list[PlannedStage1]:
    """Every stage 1 of a sweep, that of the untuned base first.

    Args:
        sweep: The sweep.
        costs: Predicts its costs.
    """
    return [_planned(stage, costs) for stage in stages_1(sweep).values()]


def _planned(stage: Stage1, costs: Costs) -> PlannedStage1:
    sweep, align, num_workers = stage.sweep, stage.config.align, stage.num_workers
    assert align is not None
    is_sharded = stage_of(stage.config.train.deepspeed) == 3
    lengths = costs.stage_1_lengths(sweep, align)
    tuned = replace(costs.tuned(sweep, CONNECTOR, lends=False), train=align)
    steps = {on: tuned.predict(checkpointing=on, lengths=lengths) for on in (True, False)}
    one = steps[align.checkpointing]
    step = sharded(one, stage=3, num_gpus=num_workers) if is_sharded else one
    flops_per_token = steps[False].flops / (align.micro_batch * lengths.longest)
    flops = flops_per_token * lengths.mean * num_processed(align, lengths)
    count = count_parameters(tuned.model)
    return PlannedStage1(
        id=stage.id,
        values=options_text(CONNECTOR, stage.values),
        learning_rate=align.learning_rate,
        num_steps=align.num_steps(lengths.num_samples),
        num_workers=num_workers,
        trainable_parameters=count.trainable,
        trainable_share=count.share,
        micro_batch_size=align.micro_batch,
        gradient_checkpointing=align.checkpointing,
        step=step,
        activations_gib={
            "checkpointed": steps[True].activations_gib,
            "whole": steps[False].activations_gib,
        },
        train_pflop=flops / 1e15,
        gpu_hours=gpu_hours(sweep, flops),
        too_big=step_too_big(sweep, tuned, step, lengths),
    )
