"""Checks, before anything starts, that the files of all tasks exist and can be scored."""

from collections.abc import Mapping

from lnt_core.config import (
    AskingConfig,
    CaptioningConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    TaskConfig,
)
from lnt_core.data.check import (
    captioning_problems,
    dataset_problems,
    image_problems,
    training_problems,
)
from lnt_core.data.layouts import some
from lnt_core.errors import DataError, bad_field
from lnt_core.evaluation.tasks import make_task
from lnt_core.paths import is_file, is_folder, shown


def data_problems(model: ModelConfig, data: DataConfig) -> list[str]:
    """All problems with the files that a trial would read; empty if there are none."""
    return training_problems(model, data) + task_problems(data)


def task_problems(data: DataConfig) -> list[str]:
    """All problems with the tasks of a trial; empty if there are none."""
    tasks = {"data.select": data.select} if data.select is not None else {}
    tasks |= {f"data.report[{number}]": task for number, task in enumerate(data.report)}
    return problems_of(tasks)


def problems_of(tasks: Mapping[str, TaskConfig]) -> list[str]:
    """All problems with the files of tasks, given by the fields they are named in."""
    return [problem for field, task in tasks.items() for problem in _problems(field, task)]


def _problems(field: str, task: TaskConfig) -> list[str]:
    if isinstance(task, CaptioningConfig):
        return captioning_problems(field, task)
    if isinstance(task, LossConfig):
        return dataset_problems(field, task)
    missing = [
        f"{field}.{key}: there is no {kind} {shown(getattr(task, key))}"
        for keys, kind, exists in (
            (task.files, "file", is_file),
            (task.folders, "folder", is_folder),
        )
        for key in keys
        if not exists(getattr(task, key))
    ]
    if missing:
        return missing
    try:
        questions = make_task(task).questions
    except DataError as error:
        return [f"{field}: {error}"]
    problems = []
    if len(questions) < 2:
        problems.append(f"{field}: the task has {len(questions)} questions, but needs at least 2")
    if isinstance(task, AskingConfig):
        bare = [question.id for question in questions if question.image is None]
        if bare:
            problems.append(
                f"{field}: {len(bare)} questions have no image, but each needs one: {some(bare)}"
            )
    wanted = getattr(task, "num_samples", None)
    if wanted is not None and wanted > len(questions):
        allowed = f"at most {len(questions)}"
        problems.append(bad_field(f"{field}.num_samples", wanted, allowed=allowed))
    images = [question.image for question in questions if question.image is not None]
    return problems + image_problems(field, str(getattr(task, "images", "")), images)
