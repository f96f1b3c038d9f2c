"""The folder of stage 1 in an execution: its events, and how it ended.

Only the process that prepares the untuned base writes here. The driver sends it to MLflow.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from lnt_core.training.loop import Report
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import Execution, TrialStatus

STAGE_1 = "align"
ENDS = (TrialStatus.FINISHED, TrialStatus.FAILED)
"""How it can end. The name of an empty file says so, of which nothing can be damaged."""


def stage_1_folder(execution: Execution) -> Path:
    """Where stage 1 is logged."""
    return execution.path / STAGE_1


def stage_1_end(execution: Execution) -> TrialStatus | None:
    """How stage 1 ended; None if it has not. It has finished as well if the cache had it."""
    folder = stage_1_folder(execution)
    return next((status for status in ENDS if (folder / status).exists()), None)


def forget_stage_1_end(execution: Execution) -> None:
    """Delete how stage 1 ended, before it is tried again."""
    for status in ENDS:
        (stage_1_folder(execution) / status).unlink(missing_ok=True)


@contextlib.contextmanager
def stage_1_logged(execution: Execution, report: Report) -> Iterator[Report]:
    """Log stage 1, which is trained or taken from the cache meanwhile.

    Args:
        execution: Whose it is.
        report: Called as the result is, after the step is logged.

    Yields:
        What to call with each step and its metrics.
    """
    folder = stage_1_folder(execution)
    folder.mkdir(exist_ok=True)
    forget_stage_1_end(execution)
    with contextlib.ExitStack() as opened:
        logs: list[EventLog] = []

        def log(step: int, metrics: dict[str, float]) -> None:
            if not logs:
                logs.append(EventLog(folder / EVENTS))
                opened.callback(logs[0].close)
            logs[0].write(step, metrics)
            report(step, metrics)

        try:
            yield log
        except Exception:
            (folder / TrialStatus.FAILED).touch()
            raise
        (folder / TrialStatus.FINISHED).touch()
