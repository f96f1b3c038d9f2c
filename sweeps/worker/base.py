"""The untuned base model of a sweep: prepared and scored before any trial starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.config import TrialConfig
from lnt_core.distributed.zero_config import stage_of
from lnt_core.errors import LntError
from sweeps.plan.space import strategies, trial_config
from sweeps.resources import ResourcesConfig
from sweeps.storage.execution import BASE
from sweeps.worker.context import Context
from sweeps.worker.group import GroupTask, WorkerDiedError, WorkerGroup
from sweeps.worker.placement import SUPERVISOR, worker_bundle
from sweeps.worker.process import own_worker, worker_for

if TYPE_CHECKING:
    from lnt_core.worker import Worker


ANY_RATE = 1e-3
"""Learning rate in the config of the base, which does not depend on it."""


def base_scores(context: Context) -> dict[str, float]:
    """Scores of the untuned base; trains the tiny model and stage 1 unless the cache has them.

    One process prepares the base. If every strategy shards it (ZeRO-3), as many workers do as the
    strategy with the fewest workers has.

    Raises:
        LntError: The base cannot be prepared; the message says why.
    """
    import ray

    resources = context.sweep.resources
    configs = [trial_config(context.sweep, s, ANY_RATE) for s in strategies(context.sweep)]
    unsharded = [config for config in configs if stage_of(config.train.deepspeed) != 3]
    workers = {resources.workers_of(config.strategy.name): config for config in configs}
    num_workers = 0 if unsharded else min(workers)
    config = unsharded[0] if unsharded else workers[num_workers]
    options: dict[str, Any] = {"resources": SUPERVISOR, "num_cpus": 0}
    if not num_workers:
        wanted = worker_bundle(resources)
        options = {"num_cpus": wanted.get("CPU", 0), "num_gpus": wanted.get("GPU", 0)}
    retried: Any = [WorkerDiedError]  # as Ray retries if the task's own process dies
    task = ray.remote(prepare_base).options(**options, retry_exceptions=retried)
    try:
        scores: dict[str, float] = ray.get(task.remote(context, config, num_workers))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, LntError):
            raise error.cause from None
        raise
    return scores


def prepare_base(context: Context, config: TrialConfig, num_workers: int) -> dict[str, float]:
    """Prepare what all trials share, and score the base; 0 workers: in this process."""
    resources, out = context.sweep.resources, context.execution.path / BASE
    if not num_workers:
        return score_base(config, worker_for(resources, context.cache), out)
    return prepare_base_distributed(
        config, context.cache, out, resources=resources, num_workers=num_workers
    )


def prepare_base_distributed(
    config: TrialConfig, cache: Path, out: Path, *, resources: ResourcesConfig, num_workers: int
) -> dict[str, float]:
    """Do the same as :func:`prepare_base` on workers that each hold a shard of the base.

    Raises:
        WorkerDiedError: A worker process died.
        Exception: What a worker raised.
    """
    out.mkdir(parents=True, exist_ok=True)
    task = GroupTask(config, cache, out, resources)
    preparing = WorkerGroup(_prepare, task, num_workers)
    preparing.start()
    preparing.join()
    return preparing.outcome()


def _prepare(task: GroupTask) -> dict[str, float]:
    """Score the base in one worker."""
    return score_base(task.config, own_worker(task.resources, task.cache), task.out)


def score_base(config: TrialConfig, worker: "Worker", out: Path) -> dict[str, float]:
    """Scores of the base that a worker holds; if the base is sharded, every worker must call this.

    Writes captions, samples and the analysis to ``out``.
    """
    from lnt_core.analysis.trial_analysis import analyse
    from lnt_core.distributed.ranks import is_first
    from lnt_core.distributed.sharded import able_to_run, is_sharded
    from lnt_core.trial import evaluate
    from sweeps.storage.samples import SAMPLES, write_samples

    prepared = worker.prepare(config)
    model = able_to_run(prepared.base.trial_copy(), config.train.deepspeed)
    if is_sharded(model):
        worker.release_base()
    bf16 = config.train.precision == "bf16"
    scores = evaluate(model, prepared, out, bf16=bf16)
    if is_first():
        write_samples(prepared.select.items, out / SAMPLES, seed=config.seed)
    return scores | analyse(model, prepared, out, bf16=bf16)
