"""Several tasks: what lists of them in `data.report` and in the file of `lnt eval` share."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lnt_core.config.tasks import CAPTIONING, TaskConfig, TaskField
from lnt_core.frozen import Frozen


class TasksConfig(Frozen):
    """The file of `lnt eval`: tasks as in `data.report`; `when` means nothing there."""

    tasks: tuple[TaskField, ...] = Field(min_length=1)
    """What the model is scored on."""

    @field_validator("tasks", mode="before")
    @classmethod
    def _one_split_each(cls, tasks: Any) -> Any:
        return with_one_split(tasks)

    @model_validator(mode="after")
    def _named_apart(self) -> Self:
        check_prefixes("tasks", self.tasks)
        return self


def with_one_split(tasks: Any) -> Any:
    """Tasks as given, captioning with one split: only that which chooses in a sweep has two."""
    if not isinstance(tasks, list | tuple):
        return tasks
    return [
        {"report_split": None} | task
        if isinstance(task, dict) and task.get("task") in CAPTIONING
        else task
        for task in tasks
    ]


def check_prefixes(key: str, tasks: Sequence[TaskConfig]) -> None:
    """Check that no two tasks would have metrics of the same names.

    Raises:
        ValueError: Some would.
    """
    prefixes = [task.prefix for task in tasks]
    if twice := sorted({name for name in prefixes if prefixes.count(name) > 1}):
        raise ValueError(
            f"`{key}` has several tasks called {', '.join(twice)}: give each another `name`"
        )
