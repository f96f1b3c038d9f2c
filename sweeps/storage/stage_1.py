"""The folders of stage 1 in an execution: events of each, how it ended, and what it took.

Only the processes that train it, or take it from the cache, write here. The driver sends it to
MLflow.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json
from lnt_core.training.loop import Report
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import Execution, TrialStatus

STAGE_1 = "align"
ENDS = (TrialStatus.FINISHED, TrialStatus.FAILED)
"""How it can end. The name of an empty file says so, of which nothing can be damaged."""


SPENT = "spent.json"
"""GPU-seconds that went into it before any trial: those of a trial's own time are in its result."""


def stage_1_folder(execution: Execution, name: str) -> Path:
    """Where the stage 1 of this id is logged."""
    return execution.path / STAGE_1 / name


def stage_1_end(execution: Execution, name: str) -> TrialStatus | None:
    """How stage 1 ended; None if it has not. It has finished as well if the cache had it."""
    folder = stage_1_folder(execution, name)
    return next((status for status in ENDS if (folder / status).exists()), None)


def forget_stage_1_end(execution: Execution, name: str) -> None:
    """Delete how stage 1 ended, before it is tried again."""
    for status in ENDS:
        (stage_1_folder(execution, name) / status).unlink(missing_ok=True)


def end_stage_1(execution: Execution, name: str, status: TrialStatus) -> None:
    """Write how stage 1 ended: one of ``ENDS``."""
    folder = stage_1_folder(execution, name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / status).touch()


@contextlib.contextmanager
def stage_1_paid(execution: Execution, name: str, *, gpus: float) -> Iterator[None]:
    """Count the time within this context as that of stage 1, on so many GPUs."""
    began_s = time.monotonic()
    try:
        yield
    finally:
        path = stage_1_folder(execution, name) / SPENT
        if gpus:
            path.parent.mkdir(parents=True, exist_ok=True)
            spent = _spent(path) + (time.monotonic() - began_s) * gpus
            write_json(path, {"gpu_s": spent})


def stage_1_gpu_s(execution: Execution) -> float:
    """GPU-seconds that went into every stage 1 of the execution before any trial."""
    return math.fsum(_spent(path) for path in execution.path.glob(f"{STAGE_1}/*/{SPENT}"))


def _spent(path: Path) -> float:
    if not path.exists():
        return 0.0
    try:
        return float(read_json(path)["gpu_s"])
    except DamagedError as error:
        set_aside(path, error.why, "these GPU-hours no longer count in budget.gpu_hours")
        return 0.0


@contextlib.contextmanager
def stage_1_logged(execution: Execution, name: str, report: Report) -> Iterator[Report]:
    """Log stage 1, which is trained or taken from the cache meanwhile.

    Args:
        execution: Whose it is.
        name: Its id.
        report: Called as the result is, after the step is logged.

    Yields:
        What to call with each step and its metrics.
    """
    folder = stage_1_folder(execution, name)
    forget_stage_1_end(execution, name)
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
            end_stage_1(execution, name, TrialStatus.FAILED)
            raise
        end_stage_1(execution, name, TrialStatus.FINISHED)
