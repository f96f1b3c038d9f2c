"""A winner, or the untuned base, scored in Ray's processes on what trials are not scored on."""

import os
import traceback

from lnt_core.devices.faults import has_lost_device
from lnt_core.errors import LntError
from lnt_core.evaluation.scoring import scores_in
from lnt_core.outcome import WEIGHTS
from lnt_core.training.loop import Report
from sweeps.plan.base import base_config
from sweeps.storage.execution import CAPTIONING
from sweeps.storage.full_disk import is_disk_full
from sweeps.storage.reported import Reported, reported, reported_folder, write_reported
from sweeps.worker.context import BASE_ID, TRIAL_KEY, Context
from sweeps.worker.process import LOST_DEVICE, worker_for


def run_report(context: Context, name: str, *, report: Report) -> None:
    """Score a trial's weights, or the base, and write how that has ended to the execution's folder.

    Args:
        context: Of the execution.
        name: The trial's id, or that of the base.
        report: Called with the number of questions that are answered.
    """
    if reported(context.execution, name) is not None:  # the process died while it reported this
        return
    lost_device = False
    try:
        ended = Reported(_scores(context, name, report))
    except Exception as error:  # a task that fails must not end the sweep
        if is_disk_full(error):
            raise
        told = str(error) if isinstance(error, LntError) else traceback.format_exc()
        kept = scores_in(reported_folder(context.execution, name))  # of the tasks that do not fail
        ended, lost_device = Reported(kept, told), has_lost_device(error)
    write_reported(context.execution, name, ended)
    if lost_device:
        os._exit(LOST_DEVICE)


def _scores(context: Context, name: str, report: Report) -> dict[str, float]:
    from lnt_core.reporting import score_weights

    execution, is_base = context.execution, name == BASE_ID
    config = base_config(context.sweep)[0] if is_base else context.trial({TRIAL_KEY: name}).config
    answered: dict[str, int] = {}

    def told(task: str, done: int, total: int) -> None:
        answered[task] = done
        report(sum(answered.values()), {})

    return score_weights(
        config,
        None if is_base else execution.trial(name) / WEIGHTS,
        reported_folder(execution, name),
        worker=worker_for(context.sweep.resources, context.cache),
        told=told,
        told_in=execution.path / CAPTIONING,
    )
