"""The base class of tasks: questions, and how their answers are scored. And the tasks' registry."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from lnt_core.config import AskingConfig, CaptioningConfig, DataConfig, TaskConfig
from lnt_core.data.questions import Question
from lnt_core.errors import TrialError
from lnt_core.metrics import OBJECTIVES, Objective, selecting

Options = TypeVar("Options", bound=TaskConfig)
AskingOptions = TypeVar("AskingOptions", bound=AskingConfig | CaptioningConfig)


@dataclass(frozen=True)
class Scored:
    """The scores of a task's answers.

    Raises:
        TrialError: A score is no finite number.
    """

    summary: dict[str, float]
    """The named scores of the whole task, its main metric among them."""
    scores: tuple[float, ...]
    """The score of each question: what people look at."""
    contributions: tuple[float, ...]
    """For each question, a number whose mean over the questions is the main metric, except for
    rounding. For a metric that is no mean (F1, a ratio) it is the metric plus the question's
    influence on it, so that resampling these numbers gives the metric's sampling error to first
    order (the infinitesimal jackknife)."""

    def __post_init__(self) -> None:
        if bad := {name: value for name, value in self.summary.items() if not math.isfinite(value)}:
            told = ", ".join(f"{name} is {value}" for name, value in bad.items())
            raise TrialError(f"{told}, which is no score")


class Task(ABC, Generic[Options]):
    """A benchmark in its published files, with the scores of its official scorer."""

    Config: ClassVar[type[TaskConfig]]
    label: ClassVar[str]
    """Display name."""
    source: ClassVar[str]
    """Where the rules of its scorer are from."""
    main: ClassVar[str]
    """The metric that chooses, unless the options say another."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.questions = self.read()
        """In the order of answers and scores."""

    @classmethod
    def metric_of(cls, options: Options) -> str:
        """The metric that chooses, a key of ``Scored.summary``."""
        return cls.main

    @property
    def metric(self) -> str:
        """The metric that chooses, a key of ``Scored.summary``."""
        return self.metric_of(self.options)

    def limit(self, number: int) -> None:
        """Keep the first questions alone: of each of its parts, if it is scored part by part."""
        self.questions = self.questions[:number]

    @classmethod
    def annotation_files(cls, options: Options) -> dict[str, Path]:
        """The files of questions and answers, by names that do not depend on where they are."""
        return {key: Path(getattr(options, key)) for key in options.files}

    @abstractmethod
    def read(self) -> tuple[Question, ...]:
        """Read the questions.

        Raises:
            DataError: A file cannot be read, or has another layout.
        """


class AskingTask(Task[AskingOptions]):
    """A task in which the model answers questions."""

    @abstractmethod
    def score(self, answers: Sequence[str]) -> Scored:
        """Score one answer for each question.

        Args:
            answers: In the order of ``questions``, as the model gave them, line breaks included.

        Raises:
            TrialError: A user's scorer failed; the message says how.
        """

    def ask(self, question: Question) -> str:
        """The text that the model is given for a question, without ``<image>``."""
        return self.options.prompt.replace("{question}", question.text)

    def checked(self, answers: Sequence[str]) -> Sequence[str]:
        """The answers, if there are as many as questions.

        Raises:
            ValueError: There are not.
        """
        if len(answers) != len(self.questions):
            raise ValueError(f"got {len(answers)} answers to {len(self.questions)} questions")
        return answers


def first_of_each(questions: Sequence[Question], number: int) -> tuple[Question, ...]:
    """The first so many questions of each group."""
    seen: Counter[str] = Counter()
    kept = []
    for question in questions:
        seen[question.group] += 1
        if seen[question.group] <= number:
            kept.append(question)
    return tuple(kept)


TASKS: dict[str, type[Task]] = {}  # type: ignore[type-arg]
Registered = TypeVar("Registered", bound=type[Task])  # type: ignore[type-arg]


def register(*names: str) -> Callable[[Registered], Registered]:
    """Class decorator that registers a task under the names that its Config allows.

    Raises:
        ValueError: A name is taken, or the metric is not among those that may choose.
    """

    def add(task: Registered) -> Registered:
        for name in names:
            if name in TASKS:
                raise ValueError(f"the task {name!r} is already registered")
            TASKS[name] = task
        if selecting(task.main) not in OBJECTIVES:
            raise ValueError(f"{task.main!r} is not in lnt_core.metrics.OBJECTIVES")
        return task

    return add


def make_task(options: TaskConfig) -> Task:  # type: ignore[type-arg]
    """The task of a config, with its questions.

    Raises:
        DataError: A file cannot be read, or has another layout.
    """
    return TASKS[options.task](options)


def annotation_files(options: TaskConfig) -> dict[str, Path]:
    """The files of questions and answers of a task, by their names within it."""
    return TASKS[options.task].annotation_files(options)


def objective_of(data: DataConfig) -> Objective:
    """What a sweep on this data chooses by."""
    if data.select is not None:
        return OBJECTIVES[selecting(TASKS[data.select.task].metric_of(data.select))]
    assert data.scenes is not None
    return OBJECTIVES[selecting(TASKS[data.scenes.select].main)]
