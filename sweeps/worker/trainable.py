"""The trainable of Ray Tune: runs one trial of a sweep and reports how it ended.

Unless the sweep is distributed, Ray Tune runs further trials in the same process
(``reuse_actors``). They reuse what its `Worker` holds: base weights, encoded data, image features.
"""

import os
import time
import traceback
from dataclasses import replace
from typing import Any

from lnt_core import metrics as metric
from lnt_core.analysis.trial_analysis import CUT_SHORT
from lnt_core.config import TrialConfig
from lnt_core.devices.faults import has_lost_device
from lnt_core.errors import LntError
from lnt_core.evaluation.tasks import objective_of
from lnt_core.training.loop import Report
from lnt_core.trial import WEIGHTS
from sweeps.plan.trials import SweepTrial
from sweeps.resources import ResourcesConfig
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import CAPTIONING, RAN, Result, TrialStatus
from sweeps.storage.full_disk import is_disk_full
from sweeps.storage.mending import left_by_itself
from sweeps.storage.notices import noted
from sweeps.storage.reported import forget_reported
from sweeps.storage.trials import write_config
from sweeps.worker.base import run_base
from sweeps.worker.context import BASE_ID, OBJECTIVE, REPORT, STAGE_1, TRIAL_KEY, Context
from sweeps.worker.distributed import run_distributed
from sweeps.worker.gate import NodeRefusedError, pass_gate
from sweeps.worker.group import WorkerDiedError
from sweeps.worker.out_of_memory import num_kills, run_in_memory
from sweeps.worker.process import LOST_DEVICE, memory_share_gib, worker_for
from sweeps.worker.ray_reports import RayReports, scored
from sweeps.worker.reporting import run_report
from sweeps.worker.stage_1 import align_first, run_stage_1
from sweeps.worker.system_metrics import SystemMetrics


def run_sweep_trial(tune_config: dict[str, Any], context: Context) -> None:
    """Run what Ray Tune's config names, a trial or another run; report its end to Ray Tune."""
    from ray import tune

    name = tune_config[TRIAL_KEY]
    try:
        pass_gate(context.gate)
        with noted(context.execution.path):
            if name == BASE_ID or name.startswith(STAGE_1):
                final = _preparation(name, context)
            elif name.startswith(REPORT):
                run_report(context, name.removeprefix(REPORT), report=RayReports(name))
                final = {"step": 0, TRIAL_KEY: name, "status": TrialStatus.FINISHED}
            else:
                final = _outcome(context.trial(tune_config), context)
    except NodeRefusedError as error:
        refused = TrialStatus.NODE_REFUSED
        final = {"step": 0, TRIAL_KEY: name, "status": refused, "reason": str(error)}
    except Exception as error:
        if not is_disk_full(error):
            raise
        final = {"step": 0, TRIAL_KEY: name, "status": TrialStatus.DISK_FULL}
    tune.report(final)


def _preparation(name: str, context: Context) -> dict[str, float | str]:
    """The last report of the untuned base, or of a stage 1 that a group of workers trains.

    An earlier one of the base says that trials may start.
    """
    from ray import tune

    last: dict[str, float | str] = {"step": 0, TRIAL_KEY: name}
    report = RayReports(name, TrialStatus.STARTING)
    try:
        if name == BASE_ID:
            running = last | {"status": TrialStatus.RUNNING}
            run_base(context, report=report, prepared=lambda: tune.report(running))
        else:
            run_stage_1(context, name.removeprefix(STAGE_1), report=report)
    except (WorkerDiedError, NodeRefusedError):
        raise
    except LntError as error:
        return last | {"status": TrialStatus.FAILED, "error": str(error)}
    except Exception as error:
        if is_disk_full(error):
            raise
        return last | {"status": TrialStatus.FAILED, "error": traceback.format_exc()}
    return last | {"status": TrialStatus.FINISHED}


def _outcome(trial: SweepTrial, context: Context) -> dict[str, float | str]:
    """Run the trial unless it has already ended, and return its last report to Ray Tune.

    A finished trial whose weights were deleted is run again.
    """
    import ray

    result = context.execution.result(trial.id)
    rerun = result is not None and _lost_its_weights(trial, result, context)
    if result is None or rerun:
        budget = None if rerun else context.budget  # a rerun has been counted already
        refusal = _ask_budget(budget, trial.id, trial.config.strategy.name)
        if refusal:
            return {
                "step": 0,
                TRIAL_KEY: trial.id,
                "status": TrialStatus.LEFT_OUT,
                "reason": refusal,
            }
        began_s = time.monotonic()
        forget_reported(context.execution, trial.id)
        left = None if rerun else left_by_itself(context.execution, trial.id)
        result, lost_device = (left, False) if left else _run(trial.config, trial.id, context)
        took_s = left.took_s if left else time.monotonic() - began_s
        result = replace(result, took_s=took_s, node=ray.util.get_node_ip_address())
        if budget is not None:
            align_s = result.metrics.get(metric.ALIGN_S, 0.0)
            ray.get(budget.ended.remote(trial.id, align_s))
        context.execution.write_result(trial.id, result)
        if lost_device:  # the next process reads the result and reports it
            os._exit(LOST_DEVICE)
    final: dict[str, float | str] = {
        "step": result.steps,
        TRIAL_KEY: trial.id,
        "status": result.status,
    }
    if result.score is not None:
        final |= scored(result.metrics)
    elif result.status == TrialStatus.DIVERGED:
        final[OBJECTIVE] = objective_of(trial.config.data).worst_merit
    return final


def _lost_its_weights(trial: SweepTrial, result: Result, context: Context) -> bool:
    """Whether the weights of a finished trial were deleted because another trial was better.

    Ray Tune gets a finished trial again only if the trial wins after all, or if its process died
    between writing the result and the last report. In the second case it still has its weights.
    """
    weights = context.execution.trial(trial.id) / WEIGHTS
    return result.status == TrialStatus.FINISHED and not weights.exists()


def _ask_budget(budget: Any, name: str, strategy: str) -> str:
    """Why the trial must not start; empty if it may."""
    import ray

    return "" if budget is None else str(ray.get(budget.refusal.remote(name, strategy)))


def _run(config: TrialConfig, name: str, context: Context) -> tuple[Result, bool]:
    """Run a trial; an error becomes its result, unless a worker died or the disk is full.

    Returns:
        The result, and whether this process has lost its GPU.
    """
    events = EventLog(context.execution.trial(name) / EVENTS)
    to_ray = RayReports(name)
    try:
        return _ran(config, name, context, events, to_ray), False
    except (WorkerDiedError, NodeRefusedError):
        raise
    except Exception as error:  # a bug or lack of memory in one trial must not end the sweep
        if is_disk_full(error):
            raise
        result = _ended_by(error, name, context, step=to_ray.step)
        return result, config.train.deepspeed is None and has_lost_device(error)
    finally:
        events.close()


def _ran(
    config: TrialConfig, name: str, context: Context, events: EventLog, to_ray: RayReports
) -> Result:
    """Run a trial in this process or in a group of workers; the result of one that has ended."""
    from lnt_core.accounting.micro_batch import as_begun
    from lnt_core.trial import TrialResult, run_trial

    out, resources = context.execution.trial(name), context.sweep.resources
    stage_1_to_ray = RayReports(name, TrialStatus.STARTING)
    every_s = context.sweep.tracking.system_metrics_every_s

    def report(step: int, metrics: dict[str, float]) -> None:
        events.write(step, metrics)
        to_ray(step, metrics)

    def run(chosen: TrialConfig) -> TrialResult:
        if chosen.train.deepspeed is not None:
            return run_distributed(
                chosen,
                context.cache,
                out,
                resources=resources,
                execution=context.execution.path,
                report=to_ray,
                report_stage_1=stage_1_to_ray,
                sample_every_s=every_s,
                gate=context.gate,
            )
        return run_trial(
            chosen,
            out=out,
            report=report,
            worker=worker_for(resources, context.cache),
            memory_gib=memory_share_gib(resources),
            captioning=context.execution.path / CAPTIONING,
            reported=events.whole_up_to(config.train.evaluate_at_steps),
        )

    # of several workers, rank 0 samples its own node
    with SystemMetrics(events, every_s if config.train.deepspeed is None else 0.0):
        align_s = _aligned(config, context, stage_1_to_ray)
        done, ran, note = run_in_memory(
            config, run, num_kills=num_kills(out), begun=lambda given: as_begun(given, out)
        )
    if ran != config:
        write_config(ran, out / RAN)
    further = {metric.ALIGN_S: align_s} if align_s else {}
    num_workers = resources.workers_of(config.strategy.name)
    further |= utilisation(done.metrics, resources, num_workers=num_workers)
    if further:
        report(done.steps, further)
    note = "; ".join(filter(None, (note, done.note)))
    status = TrialStatus(done.status)
    return Result(status, done.steps, done.metrics | further, note=note, files=done.files)


def _aligned(config: TrialConfig, context: Context, report: Report) -> float:
    """Train the stage 1 of a trial of one process if need be; the workers of others do so.

    Returns:
        Seconds that this took.
    """
    if config.train.deepspeed is not None:
        return 0.0
    worker = worker_for(context.sweep.resources, context.cache)
    return align_first(config, worker, context.cache, context.execution, report)


def _ended_by(error: Exception, name: str, context: Context, *, step: int) -> Result:
    """The result of a trial that raised an error: it failed, unless only its analysis did."""
    told = str(error) if isinstance(error, LntError) else traceback.format_exc()
    left = left_by_itself(context.execution, name)
    if left is None:
        return Result(TrialStatus.FAILED, step, error=told)
    return replace(left, note=told) if left.note == CUT_SHORT else left


def utilisation(
    metrics: dict[str, float], resources: ResourcesConfig, *, num_workers: int = 1
) -> dict[str, float]:
    """How well training used the GPUs; empty if the sweep file does not give their peak.

    ``compute/mfu`` is the fraction of the peak that was reached, 0..1. ``time/predicted_train_s``
    is how long training would have taken at the fraction in the sweep file, `resources.mfu`.
    """
    if resources.gpu_peak_tflops is None:
        return {}
    mfu = metrics[metric.TFLOPS_PER_S] / (resources.gpu_peak_tflops * num_workers)
    predicted_s = metrics[metric.TRAIN_S] * mfu / resources.mfu
    return {metric.MFU: mfu, metric.PREDICTED_TRAIN_S: predicted_s}
