"""Exact match: the share of own questions that are answered as the file says."""

import unicodedata
from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar

from typing_extensions import override

from lnt_core.config import ExactMatchConfig, TaskConfig
from lnt_core.data.questions import Question, read_own
from lnt_core.evaluation.tasks.base import AskingTask, Scored, register


@register("exact_match")
class ExactMatch(AskingTask[ExactMatchConfig]):
    """Own questions, each with one right answer."""

    Config: ClassVar[type[TaskConfig]] = ExactMatchConfig
    label: ClassVar[str] = "exact match"
    source: ClassVar[str] = "the rule in docs/tasks.md"
    main: ClassVar[str] = "exact_match"

    @override
    def read(self) -> tuple[Question, ...]:
        return tuple(read_own(self.options))

    @override
    def score(self, answers: Sequence[str]) -> Scored:
        right = tuple(
            100.0 * any(plain(answer) == plain(text) for text in question.references)
            for question, answer in zip(self.questions, self.checked(answers), strict=True)
        )
        return Scored({self.main: fmean(right)}, right, right)


def plain(text: str) -> str:
    """An answer as it is compared.

    Unicode's compatibility form (NFKC) without regard to case; white space is one blank; there is
    none at the ends, nor punctuation.

    Example:
        >>> plain("  The  RED circle. ")
        'the red circle'
    """
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    ends = {letter for letter in words if unicodedata.category(letter)[0] == "P"}
    return words.strip("".join(ends) + " ")
