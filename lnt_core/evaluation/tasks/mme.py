"""MME: two yes-or-no questions about each image, scored as by the official evaluation tool."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from lnt_core.config import MmeConfig, TaskConfig
from lnt_core.config.tasks import MME_COGNITION, MME_PERCEPTION
from lnt_core.data.questions import MME_TAIL, Question, mme_files, read_mme
from lnt_core.evaluation.tasks.base import AskingTask, Scored, first_of_each, register

DECISIVE = 4
"""Characters at the start of an answer in which "yes" or "no" is looked for."""
LINE_BREAK = re.compile(r"\r\n|\r|\n")
GROUPS = {"perception": MME_PERCEPTION, "cognition": MME_COGNITION}


@register("mme")
class Mme(AskingTask[MmeConfig]):
    """Perception and cognition by yes and no; right answers to both questions count once more."""

    Config: ClassVar[type[TaskConfig]] = MmeConfig
    label: ClassVar[str] = "MME"
    source: ClassVar[str] = "Fu et al., MME, arXiv:2306.13394; eval_tool/calculation.py"
    main: ClassVar[str] = "mme"

    @classmethod
    @override
    def annotation_files(cls, options: MmeConfig) -> dict[str, Path]:
        return {
            f"{name}/{path.name}": path
            for name in options.subtasks
            for path in mme_files(options, name)[0]
        }

    @override
    def read(self) -> tuple[Question, ...]:
        return tuple(read_mme(self.options))

    @override
    def ask(self, question: Question) -> str:
        text = question.text.removesuffix(MME_TAIL)
        return self.options.prompt.replace("{question}", text)

    @override
    def limit(self, number: int) -> None:
        """Keep the first questions of each subtask, and both about an image."""
        self.questions = first_of_each(self.questions, number + number % 2)

    @override
    def score(self, answers: Sequence[str]) -> Scored:
        """As for every task; each subtask has acc, acc+ and their sum, each x 100."""
        lines = [
            line_of(question, answer)
            for question, answer in zip(self.questions, self.checked(answers), strict=True)
        ]
        right = [is_right(line) for line in lines]
        groups = [question.group for question in self.questions]
        both = [bool(a and b) for a, b in _pairs(right) for _ in range(2)]
        counted = Counter(g for g, known in zip(groups, right, strict=True) if known is not None)
        asked = Counter(groups)
        summary: dict[str, float] = {}
        for name in self.options.subtasks:
            of = [i for i, group in enumerate(groups) if group == name]
            # an image counts in acc+ even if its lines are skipped, as in the official tool
            acc = sum(right[i] is True for i in of) / counted[name] if counted[name] else 0.0
            acc_plus = sum(both[i] for i in of) / asked[name]
            summary[f"{name}/acc"] = 100 * acc
            summary[f"{name}/acc_plus"] = 100 * acc_plus
            summary[name] = 100 * acc + 100 * acc_plus
        sums = {
            group: sum((summary[name] for name in names if name in summary), 0.0)
            for group, names in GROUPS.items()
            if not summary.keys().isdisjoint(names)
        }
        summary = {self.main: sum(sums.values())} | sums | summary
        contributions = [
            100 * len(lines) * ((known is True) / max(counted[group], 1) + twice / asked[group])
            for group, known, twice in zip(groups, right, both, strict=True)
        ]
        return Scored(
            summary, tuple(100.0 * (known is True) for known in right), tuple(contributions)
        )


def line_of(question: Question, answer: str) -> str:
    """The line of the official tool's input: image, question, truth and answer between tabs.

    Line breaks within the answer become blanks, without which there would be no line. A tab in it
    remains: the line then has five fields, and is skipped.
    """
    image = question.image.name if question.image else ""
    one_line = LINE_BREAK.sub(" ", answer)
    return "\t".join((image, question.text, question.references[0], one_line)) + "\n"


def is_right(line: str) -> bool | None:
    """Whether the answer in a line is the truth; None for a line that has other than four fields.

    The official tool reads the answer with the line break at its end, so that not even "yes" is
    taken as a whole: only the first characters decide.
    """
    fields = line.split("\t")
    if len(fields) != 4:
        return None
    return verdict(fields[3].lower()) == fields[2].lower()


def verdict(answer: str) -> str:
    """``yes``, ``no`` or ``other``, from an answer in lower case. "Not sure" is a no."""
    if answer in ("yes", "no"):
        return answer
    for word in ("yes", "no"):
        if word in answer[:DECISIVE]:
            return word
    return "other"


def _pairs(right: Sequence[bool | None]) -> Iterator[tuple[bool | None, bool | None]]:
    return zip(right[::2], right[1::2], strict=True)
