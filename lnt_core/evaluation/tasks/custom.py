"""A user's own scorer: a Python function, named in the sweep file by whoever runs it."""

import importlib
import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, ClassVar

from typing_extensions import override

from lnt_core.config import CustomConfig, TaskConfig
from lnt_core.data.questions import Question, read_own
from lnt_core.errors import DataError, TrialError
from lnt_core.evaluation.tasks.base import AskingTask, Scored, register
from lnt_core.paths import shown

Scorer = Callable[[list[str], list[str], list[list[str]]], Any]
"""Called with questions, answers and references; returns a number for each question."""


@register("custom")
class Custom(AskingTask[CustomConfig]):
    """Own questions, scored by a function of one's own."""

    Config: ClassVar[type[TaskConfig]] = CustomConfig
    label: ClassVar[str] = "own scorer"
    source: ClassVar[str] = "the user's function"
    main: ClassVar[str] = "score"

    @classmethod
    @override
    def metric_of(cls, options: CustomConfig) -> str:
        return "score" if options.direction == "max" else "cost"

    @override
    def read(self) -> tuple[Question, ...]:
        self._scorer = load_scorer(self.options.scorer)
        return tuple(read_own(self.options))

    @override
    def score(self, answers: Sequence[str]) -> Scored:
        name = self.options.scorer
        arguments = (
            [question.text for question in self.questions],
            list(self.checked(answers)),
            [list(question.references) for question in self.questions],
        )
        try:
            returned = list(self._scorer(*arguments))
        except Exception as error:
            raise TrialError(f"the scorer {name} raised {type(error).__name__}: {error}") from error
        scores = tuple(_number(name, value, i) for i, value in enumerate(returned))
        if len(scores) != len(self.questions):
            raise TrialError(
                f"the scorer {name} returned {len(scores)} scores for {len(self.questions)} "
                "questions; it must return one for each, in their order"
            )
        return Scored({self.metric: fmean(scores)}, scores, scores)


def load_scorer(name: str) -> Scorer:
    """The function called ``module:function``.

    Raises:
        DataError: It cannot be imported, or is no function.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:
        raise DataError(
            f"the scorer {name} cannot be imported ({type(error).__name__}: {error}); every "
            f"worker must be able to `import {module}`: install it, or put its folder on PYTHONPATH"
        ) from error
    if not callable(found):
        raise DataError(f"the scorer {name} is not a function of {module}")
    scorer: Scorer = found
    return scorer


def _number(name: str, value: Any, index: int) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise TrialError(
            f"the scorer {name} returned {shown(repr(value))} for question {index}, counted from "
            "0; a score must be a finite number"
        )
    return number
