"""The untuned base model of a sweep: what all trials share is prepared, and the base is scored."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.config import TrialConfig
from lnt_core.files import write_json
from lnt_core.identity import align_id
from lnt_core.training.loop import Report, report_nothing
from sweeps.plan.base import base_config
from sweeps.storage.execution import BASE, CAPTIONING, TASKS, Execution
from sweeps.storage.stage_1 import stage_1_logged
from sweeps.worker.context import Context
from sweeps.worker.following import run_group
from sweeps.worker.group import GroupTask, WorkerGroup
from sweeps.worker.process import memory_share_gib, own_worker, worker_for
from sweeps.worker.stage_1 import align_first, paid

if TYPE_CHECKING:
    from lnt_core.worker import Worker

logger = logging.getLogger(__name__)


def run_base(context: Context, *, report: Report, prepared: Callable[[], None]) -> None:
    """Score the untuned base, and write its scores to the execution's folder.

    The process that does so goes on with trials: model, data and image features stay in it.

    Args:
        context: Of the execution.
        report: Called with every step of stage 1, if that has to be trained.
        prepared: Called once the cache has what all trials share: the tiny model, drawn scenes,
            stage 1. Trials may start then, while the base is still being scored.

    Raises:
        LntError: The base cannot be prepared; the message says why.
        WorkerDiedError: A worker process of a sharded base died.
        NodeRefusedError: No trial may run on the node of a worker.
    """
    config, num_workers = base_config(context.sweep)
    resources, out = context.sweep.resources, context.execution.path / BASE
    if num_workers:
        out.mkdir(parents=True, exist_ok=True)
        where = context.execution.path
        task = GroupTask(config, context.cache, out, resources, where, gate=context.gate)
        group = WorkerGroup(_score, task, num_workers)
        run_group(group, {})
        scored = group.outcome()
        prepared()
    else:
        worker = worker_for(resources, context.cache)
        _prepare(config, worker, context, report)
        prepared()
        scored = score_base(config, worker, out, memory_gib=memory_share_gib(resources))
    context.execution.write_base(**scored)


def _prepare(config: TrialConfig, worker: "Worker", context: Context, report: Report) -> None:
    """Fill the cache in this process, which then holds the base with its stage 1."""
    from lnt_core.worker import is_prepared

    if is_prepared(config, context.cache):
        worker.prepare(config)
        return
    name = align_id(config)
    with paid(context, name, 1), stage_1_logged(context.execution, name, report) as logged:
        worker.prepare(config, report=logged)


def _score(task: GroupTask) -> dict[str, Any]:
    """Score the base in one worker of a group."""
    worker = own_worker(task.resources, task.cache)
    align_first(task.config, worker, task.cache, Execution(task.noted), report_nothing)
    memory_gib = memory_share_gib(task.resources)
    return score_base(task.config, worker, task.out, memory_gib=memory_gib)


def score_base(
    config: TrialConfig, worker: "Worker", out: Path, *, memory_gib: float | None
) -> dict[str, Any]:
    """Scores of the base that a worker holds; if the base is sharded, every worker must call this.

    Writes captions, samples and the analysis to ``out``. A task that fails has no scores: it may do
    better with tuned answers, and so the sweep goes on.

    Args:
        config: That of a trial without its strategy.
        worker: Holds the base.
        out: Folder of what is written, in that of the execution.
        memory_gib: Memory that this process may use in all; None: what is free.

    Returns:
        ``scores``, and why there are not more of them in ``note``: what `write_base` takes.
    """
    from lnt_core.accounting.gathering import Gathering
    from lnt_core.analysis.trial_analysis import try_to_analyse
    from lnt_core.distributed.ranks import is_first
    from lnt_core.distributed.sharded import able_to_run, is_sharded
    from lnt_core.trial_scores import evaluate
    from sweeps.storage.samples import SAMPLES, write_samples

    prepared = worker.prepare(config)
    bf16 = config.train.precision == "bf16"
    model = prepared.base.trial_copy()
    prepared.share_captioning(out.parent / CAPTIONING)
    gathering = Gathering.planned(model, prepared, bf16=bf16, memory_gib=memory_gib)
    able_to_run(model, config.train.deepspeed)
    if is_sharded(model):
        worker.release_base()
    failed: list[str] = []
    scores = evaluate(gathering, prepared, out, bf16=bf16, excused=failed)
    if is_first():
        tasks = (prepared.select, *prepared.report)
        write_json(out / TASKS, {task.prefix: task.described for task in tasks})
        write_samples(
            prepared.select.items,
            out / SAMPLES,
            seed=config.seed,
            opening=config.data.opening,
        )
    if config.train.analyse:
        found, note = try_to_analyse(model, prepared, out, bf16=bf16)
        if note:
            logger.warning("the untuned base: %s", note)
        scores |= found
    return {"scores": scores, "note": "; ".join(failed)}
