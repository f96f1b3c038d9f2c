"""POPE: does a model see objects that are not there? Scored as by the official script."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import ClassVar

from typing_extensions import override

from lnt_core.config import PopeConfig, TaskConfig
from lnt_core.data.questions import POPE_CATEGORIES, Question, pope_file, read_pope
from lnt_core.evaluation.tasks.base import AskingTask, Scored, first_of_each, register

NO = {"No", "no", "not"}


@register("pope")
class Pope(AskingTask[PopeConfig]):
    """Is this object in the image? Objects that are absent are random, popular or adversarial."""

    Config: ClassVar[type[TaskConfig]] = PopeConfig
    label: ClassVar[str] = "POPE"
    source: ClassVar[str] = (
        "Li et al., Evaluating Object Hallucination, arXiv:2305.10355; RUCAIBox/POPE, evaluate.py"
    )
    main: ClassVar[str] = "f1"

    @classmethod
    @override
    def annotation_files(cls, options: PopeConfig) -> dict[str, Path]:
        return {category: pope_file(options, category) for category in POPE_CATEGORIES}

    @override
    def read(self) -> tuple[Question, ...]:
        return tuple(read_pope(self.options))

    @override
    def limit(self, number: int) -> None:
        """Keep the first questions of each file."""
        self.questions = first_of_each(self.questions, number)

    @override
    def score(self, answers: Sequence[str]) -> Scored:
        """As for every task; the summary has each category, and the mean of the three."""
        said = [says_yes(answer) for answer in self.checked(answers)]
        truth = [question.references[0] == "yes" for question in self.questions]
        of: dict[str, list[int]] = {}
        for index, question in enumerate(self.questions):
            of.setdefault(question.group, []).append(index)
        counts = {
            name: Counts.of([said[i] for i in chosen], [truth[i] for i in chosen])
            for name, chosen in of.items()
        }
        each = {name: found.summary for name, found in counts.items()}
        summary = {
            key: fmean(values[key] for values in each.values()) for key in each[POPE_CATEGORIES[0]]
        }
        total, mean_f1 = len(said), summary[self.main]
        contributions = [
            mean_f1
            + counts[question.group].influence(yes, true)
            * total
            / len(of[question.group])
            / len(of)
            for question, yes, true in zip(self.questions, said, truth, strict=True)
        ]
        summary |= {
            f"{name}/{key}": value for name, values in each.items() for key, value in values.items()
        }
        right = (100.0 * (yes == true) for yes, true in zip(said, truth, strict=True))
        return Scored(summary, tuple(right), tuple(contributions))


def says_yes(answer: str) -> bool:
    """Whether an answer counts as yes: anything whose first sentence has no word of denial.

    Words end at single blanks only, so that "NO", and "No" before a line break, count as yes.
    """
    first = answer.partition(".")[0].replace(",", "")
    return NO.isdisjoint(first.split(" "))


@dataclass(frozen=True)
class Counts:
    """How often a model said yes (positive) or no, rightly (true) or wrongly."""

    true_yes: int
    false_yes: int
    true_no: int
    false_no: int

    @classmethod
    def of(cls, said: Sequence[bool], truth: Sequence[bool]) -> "Counts":
        """Count the answers of one category."""
        pairs = list(zip(said, truth, strict=True))
        return cls(*(pairs.count(pair) for pair in CELLS))

    @property
    def summary(self) -> dict[str, float]:
        """F1, accuracy, precision, recall and share of yes, all x 100.

        Where the official script divides by zero, because nothing is said to be there or nothing
        is, precision, recall and F1 are 0.
        """
        yes = self.true_yes + self.false_yes
        present = self.true_yes + self.false_no
        total = yes + self.true_no + self.false_no
        precision = self.true_yes / yes if yes else 0.0
        recall = self.true_yes / present if present else 0.0
        both = precision + recall
        return {
            "f1": 100 * (2 * precision * recall / both if both else 0.0),
            "accuracy": 100 * (self.true_yes + self.true_no) / total,
            "precision": 100 * precision,
            "recall": 100 * recall,
            "yes_ratio": 100 * yes / total,
        }

    def influence(self, said: bool, truth: bool) -> float:
        """How far one answer pulls F1 x 100 away from its value; the mean over all is 0."""
        size = 2 * self.true_yes + self.false_yes + self.false_no
        if not size:
            return 0.0
        total = size - self.true_yes + self.true_no
        weight = said + truth  # its part of `size`: a right yes counts twice
        own = 2.0 * (said and truth) - self.summary["f1"] / 100 * weight
        return 100 * own * total / size


CELLS = ((True, True), (True, False), (False, False), (False, True))
"""What is said and what is true, in the order of the fields of `Counts`."""
