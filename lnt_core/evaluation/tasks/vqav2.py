"""VQAv2: VQA accuracy over ten answers, with the normalisation of the official script."""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import ClassVar

from typing_extensions import override

from lnt_core.config import TaskConfig, VQAv2Config
from lnt_core.data.questions import Question, read_vqav2
from lnt_core.evaluation.tasks.base import AskingTask, Scored, register
from lnt_core.evaluation.tasks.contractions import CONTRACTIONS

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""Removed or replaced by a blank. Apostrophe and colon stay."""
MAX_PERIODS = int(re.UNICODE)
"""The official script passes this flag where `re.sub` takes a count: so many periods go."""
NUMBER_WITH_COMMA = re.compile(r"(\d)(\,)(\d)")
PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")
"""Meant to keep decimal points; because of a typo, it also takes a period after a digit."""
COUNTED = "zero one two three four five six seven eight nine ten"
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(COUNTED.split())}
ARTICLES = ("a", "an", "the")
HUNDREDTH = Decimal("0.01")
"""The official script rounds scores to this."""


@register("vqav2")
class VQAv2(AskingTask[VQAv2Config]):
    """Open questions about photographs, each answered by ten people."""

    Config: ClassVar[type[TaskConfig]] = VQAv2Config
    label: ClassVar[str] = "VQAv2"
    source: ClassVar[str] = (
        "Goyal et al., Making the V in VQA Matter, arXiv:1612.00837; GT-Vision-Lab/VQA, vqaEval.py"
    )
    main: ClassVar[str] = "vqa_accuracy"

    @override
    def read(self) -> tuple[Question, ...]:
        return tuple(read_vqav2(self.options))

    @override
    def score(self, answers: Sequence[str]) -> Scored:
        pairs = zip(self.questions, self.checked(answers), strict=True)
        accuracies = [accuracy(answer, question.references) for question, answer in pairs]
        by_type: dict[str, list[float]] = {}
        for question, value in zip(self.questions, accuracies, strict=True):
            by_type.setdefault(question.group, []).append(value)
        summary = {self.main: _percent(accuracies)}
        for kind, values in sorted(by_type.items()):
            name = f"accuracy_{re.sub('[^a-z]+', '_', kind.lower())}"
            summary[name] = _percent(values)
        return Scored(
            summary,
            tuple(_percent([value]) for value in accuracies),
            tuple(100 * value for value in accuracies),
        )


def accuracy(answer: str, references: Sequence[str]) -> float:
    """VQA accuracy of an answer, 0..1: right if three of the other nine people gave it.

    The answers are normalised only if the people disagree: "Yes" is wrong where all said "yes".
    """
    answer, given = _one_line(answer), [_one_line(reference) for reference in references]
    if len(set(given)) > 1:
        answer, given = normalised(answer), [normalised(reference) for reference in given]
    matches = sum(reference == answer for reference in given)
    of_each = [min(1.0, (matches - (reference == answer)) / 3) for reference in given]
    return sum(of_each) / len(of_each)


def normalised(text: str) -> str:
    """An answer as it is compared: lower case, digits, no articles, almost no punctuation.

    Example:
        >>> normalised("The two dogs, dont")
        "2 dogs don't"
    """
    return _words(_without_punctuation(text))


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _without_punctuation(text: str) -> str:
    found = text
    has_number = NUMBER_WITH_COMMA.search(text) is not None
    for mark in PUNCTUATION:
        at_a_blank = f"{mark} " in text or f" {mark}" in text
        found = found.replace(mark, "" if at_a_blank or has_number else " ")
    return PERIOD.sub("", found, count=MAX_PERIODS)


def _words(text: str) -> str:
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _percent(accuracies: Sequence[float]) -> float:
    """Their mean x 100, rounded as in Python 2, which the official script is written in."""
    exact = Decimal(100 * float(sum(accuracies)) / len(accuracies))
    return float(exact.quantize(HUNDREDTH, ROUND_HALF_UP))
