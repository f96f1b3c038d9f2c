"""Makes tasks ready for one model, and lists those of a trial's data."""

from collections.abc import Iterable
from typing import Any

from lnt_core.config import CaptioningConfig, DataConfig, TaskConfig
from lnt_core.data.conversation import Conversations
from lnt_core.evaluation.answering import Answering
from lnt_core.evaluation.held_out import HeldOut
from lnt_core.evaluation.prepared import PreparedTask
from lnt_core.evaluation.tasks import AskingTask, Captioning, HeldOutLoss, Task, make_task


def make_ready(
    task: Task[Any], prefix: str, conversations: Conversations, *, seed: int, max_length: int
) -> PreparedTask:
    """Encode a task's questions for a model.

    Args:
        task: The task.
        prefix: What the names of its metrics begin with.
        conversations: Of the model.
        seed: By which text examples are drawn.
        max_length: Tokens to which conversations of a loss are cut.

    Raises:
        DataError: A question or conversation cannot be asked.
    """
    if isinstance(task, HeldOutLoss):
        return HeldOut(task, prefix, conversations, max_length=max_length)
    assert isinstance(task, AskingTask)
    return Answering(task, prefix, conversations, seed=seed)


def tasks_named(reported: Iterable[TaskConfig]) -> dict[str, Task[Any]]:
    """Tasks of `data.report`, by what the names of their metrics begin with."""
    return {options.prefix: make_task(options) for options in reported}


def report_split(data: DataConfig) -> dict[str, Task[Any]]:
    """The split of captioning that is reported if another chooses, by its prefix."""
    select = data.select
    if isinstance(select, CaptioningConfig) and select.report_split:
        return {"report": Captioning(select, select.report_split)}
    return {}


def all_tasks(data: DataConfig) -> dict[str, Task[Any]]:
    """Every task of a trial's data, in files, by its prefix."""
    assert data.select is not None
    return {"select": make_task(data.select)} | report_split(data) | tasks_named(data.report)
