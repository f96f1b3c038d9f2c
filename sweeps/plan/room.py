"""Whether a trial fits the stated memory of a GPU, what `auto` finds there, and what would fit."""

from lnt_core.accounting.auto import MicroBatch, Predict, choose
from lnt_core.accounting.fit import sharded, what_would_fit
from lnt_core.accounting.lengths import Lengths
from lnt_core.accounting.meta_trial import MetaTrial, scored
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TuneConfig
from lnt_core.distributed.zero_config import stage_of
from lnt_core.strategies import StrategyConfig
from sweeps.config import SweepConfig


def _memory_gib(sweep: SweepConfig) -> float | None:
    """GPU memory of one trial, or None if it is not given; trials that share a GPU share it."""
    memory = sweep.resources.gpu_memory_gib
    return None if memory is None else memory * sweep.resources.gpu_share


def of_one_worker(step: StepCost, sweep: SweepConfig, strategy: StrategyConfig) -> StepCost:
    """The step of one worker, with ZeRO if the strategy uses it."""
    if not sweep.resources.may_use_deepspeed(strategy.name):
        return step
    workers = sweep.resources.workers_of(strategy.name)
    return sharded(step, stage=stage_of(sweep.train.deepspeed), num_gpus=workers)


def found_for_auto(
    sweep: SweepConfig, strategy: StrategyConfig, predict: Predict, *, allows_checkpointing: bool
) -> MicroBatch | None:
    """What replaces each `auto`; None if there is none, or without GPUs of given memory."""
    train, room_gib = sweep.train, _memory_gib(sweep)
    if train.is_settled or room_gib is None or not sweep.resources.gpus_per_trial:
        return None
    return choose(
        lambda size, on: of_one_worker(predict(size, on), sweep, strategy),
        train,
        room_gib=room_gib,
        workers=sweep.resources.workers_of(strategy.name),
        allows_checkpointing=allows_checkpointing,
    )


def known(
    train: TuneConfig, found: MicroBatch | None, *, allows_checkpointing: bool
) -> tuple[int | None, bool | None]:
    """Micro-batch size and checkpointing, as given or found; None if trials find it themselves."""
    if found is not None:
        return found.size, found.checkpointing
    size, on = train.micro_batch_size, train.gradient_checkpointing
    if on == "auto" and not allows_checkpointing:
        on = False
    return None if size == "auto" else size, None if on == "auto" else on


def hardly_fits(found: MicroBatch | None) -> str:
    """Why a trial may not fit that has the smallest micro-batch; empty otherwise."""
    if found is None or found.fits or found.is_given:
        return ""
    return f"micro_batch_size {found}"


def captioning_too_big(
    sweep: SweepConfig, tuned: MetaTrial, standing_gib: float, evaluation_gib: float
) -> str:
    """Why captions cannot be made with the batch asked for, and the largest half that fits."""
    memory_gib, select = _memory_gib(sweep), scored(sweep.trial_data)
    if memory_gib is None or evaluation_gib <= memory_gib:
        return ""
    problem = f"captioning needs {evaluation_gib:.1f} GiB, which do not fit {memory_gib:g} GiB"
    while select.batch_size > 1:
        select = select.model_copy(update={"batch_size": select.batch_size // 2})
        gib = standing_gib + tuned.generation_gib(select)
        if gib <= memory_gib:
            return f"{problem}; data.select.batch_size {select.batch_size} would ({gib:.1f} GiB)"
    return f"{problem}, not even one image at a time"


def analysis_too_big(sweep: SweepConfig, analysis_gib: float) -> str:
    """Why the analysis of layers does not fit, and what to do; empty if it fits."""
    memory_gib = _memory_gib(sweep)
    if memory_gib is None or analysis_gib <= memory_gib:
        return ""
    return (
        f"the analysis of layers needs {analysis_gib:.1f} GiB, which do not fit {memory_gib:g} "
        "GiB; train.analyse: false leaves it out"
    )


def step_too_big(sweep: SweepConfig, tuned: MetaTrial, step: StepCost, lengths: Lengths) -> str:
    """Why a step does not fit the given memory, and what would fit; empty if it fits."""
    memory_gib = _memory_gib(sweep)
    if memory_gib is None or step.peak_gib <= memory_gib:
        return ""
    checkpointing = tuned.train.checkpointing
    fit = what_would_fit(
        lambda micro: tuned.predict(
            checkpointing=checkpointing, lengths=lengths, micro_batch_size=micro
        ),
        tuned.train,
        memory_gib=memory_gib,
    )
    return f"{step.peak_gib:.1f} GiB do not fit {memory_gib:g} GiB; {fit}"
