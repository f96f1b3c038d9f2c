"""What a trial's model scores: a file of rows for each task, and metrics."""

import json
from pathlib import Path

from lnt_core import metrics as metric
from lnt_core.accounting.gathering import Gathering
from lnt_core.devices.faults import has_lost_device
from lnt_core.distributed.ranks import is_first, num_workers
from lnt_core.errors import TrialError
from lnt_core.files import write_text
from lnt_core.worker import Prepared


def evaluate(
    gathering: Gathering,
    prepared: Prepared,
    out: Path,
    *,
    bf16: bool,
    excused: list[str] | None = None,
) -> dict[str, float]:
    """Scores on the task that chooses and on those that are reported, as metrics.

    Writes a file for each task, with a line for each question.

    Args:
        gathering: Of the weights of the model that is scored.
        prepared: The tasks, and the features of their images.
        out: Folder of the files.
        bf16: Run under bfloat16 autocast.
        excused: If given, a task that fails has no scores, and why is added here.

    Raises:
        TrialError: A task cannot be scored: a user's scorer failed, or a score is NaN.
    """
    scores: dict[str, float] = {}
    with gathering.for_captions() as how:
        for task in (prepared.select, *prepared.report):
            try:
                evaluated = task.evaluate(gathering.model, prepared.store, bf16=bf16)
            except Exception as error:
                if excused is None or not _fails_alone(error):
                    raise
                kind = "" if isinstance(error, TrialError) else f"{type(error).__name__}: "
                excused.append(f"{task.prefix} cannot be scored: {kind}{error}")
                continue
            scores |= {f"{task.prefix}/{name}": value for name, value in evaluated.summary.items()}
            if is_first():
                lines = [json.dumps(row, ensure_ascii=False) for row in evaluated.rows]
                write_text(out / task.file, "\n".join(lines) + "\n")
    return scores | how | {metric.SELECT_BATCH_SIZE: prepared.select.batch_size}


def _fails_alone(error: Exception) -> bool:
    """Whether an error concerns one task, and the others can be scored all the same.

    Where workers wait for each other, only errors that all of them meet are such.
    """
    if isinstance(error, TrialError):
        return True
    return num_workers() == 1 and not isinstance(error, OSError) and not has_lost_device(error)
