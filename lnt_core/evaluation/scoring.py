"""Tasks scored one after another in a folder, where a later call goes on after a kill."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lnt_core.errors import DamagedError, TrialError
from lnt_core.evaluation.prepared import PreparedTask
from lnt_core.evaluation.record import Record
from lnt_core.files import file_crc32, read_json, set_aside, write_json, write_text
from lnt_core.models.features import FeatureStore

SUMMARY = "summary.json"
"""The scores of each task that is done, by its prefix, with what they must be named with."""
Told = Callable[[str, int, int], None]
"""Called with a task's prefix, how many of its questions are done, and how many there are."""


def told_nothing(task: str, done: int, total: int) -> None:
    """Take note of no progress."""


def score_tasks(
    model: nn.Module,
    store: FeatureStore,
    tasks: Sequence[PreparedTask],
    out: Path,
    *,
    bf16: bool = False,
    told: Told = told_nothing,
) -> dict[str, float]:
    """Score a model on tasks, or go on with it where an earlier call was killed.

    Writes a file of rows for each task, a line for each question, and ``SUMMARY``. Batches are cut
    as in a call that was not disturbed, and so the scores are the same to the last digit, unless
    memory runs out in one of them alone.

    Args:
        model: In one process.
        store: Features of the tasks' images.
        tasks: Each with a prefix of its own.
        out: The folder, of this model alone.
        bf16: Run under bfloat16 autocast.
        told: Follows the progress.

    Returns:
        Every score, as ``PREFIX/NAME``.

    Raises:
        TrialError: A task cannot be scored; the others are, and their scores are kept.
    """
    out.mkdir(parents=True, exist_ok=True)
    done, failed = summary_in(out), list[str]()
    for task in tasks:
        prefix, total = task.prefix, len(task.task.questions)
        if not _is_done(task, done, out):
            recorded = out / f"{task.file}.part"
            key = f"{task.sha256} in batches of {task.task.options.batch_size}"
            record = Record(recorded, key, told=lambda n, p=prefix, t=total: told(p, n, t))  # type: ignore[misc]
            try:
                evaluated = task.evaluate(model, store, bf16=bf16, record=record)
            except TrialError as error:
                failed.append(f"{prefix} cannot be scored: {error}")
                continue
            lines = [json.dumps(row, ensure_ascii=False) for row in evaluated.rows]
            write_text(out / task.file, "\n".join(lines) + "\n")
            checksum = file_crc32(out / task.file)
            done[prefix] = task.described | {"scores": evaluated.summary, "rows_crc32": checksum}
            write_json(out / SUMMARY, done)
            recorded.unlink()
        told(prefix, total, total)
    if failed:
        raise TrialError("; ".join(failed))
    return _scores(done, [task.prefix for task in tasks])


def summary_in(out: Path) -> dict[str, Any]:
    """The content of ``SUMMARY`` in a folder; empty if it has none."""
    try:
        return read_json(out / SUMMARY)
    except FileNotFoundError:
        return {}
    except DamagedError as error:
        set_aside(error.path, error.why, "the tasks in it are scored again")
        return {}


def scores_in(out: Path) -> dict[str, float]:
    """Every score that is kept in a folder, as ``PREFIX/NAME``."""
    done = summary_in(out)
    return _scores(done, list(done))


def files_in(out: Path) -> list[Path]:
    """What `score_tasks` has written for people: the rows of each task, and ``SUMMARY``."""
    return sorted((*out.glob("*_*.jsonl"), out / SUMMARY))


def _scores(done: dict[str, Any], prefixes: Sequence[str]) -> dict[str, float]:
    return {
        f"{prefix}/{name}": value
        for prefix in prefixes
        for name, value in done[prefix]["scores"].items()
    }


def _is_done(task: PreparedTask, done: dict[str, Any], out: Path) -> bool:
    kept, rows = done.get(task.prefix), out / task.file
    if kept is None or kept["sha256"] != task.sha256:
        return False
    return rows.is_file() and file_crc32(rows) == kept["rows_crc32"]
