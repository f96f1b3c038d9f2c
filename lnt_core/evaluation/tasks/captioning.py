"""Captioning: CIDEr of captions of a split in Karpathy's layout."""

from collections.abc import Sequence
from functools import cached_property
from statistics import fmean
from typing import ClassVar

from typing_extensions import override

from lnt_core.config import CaptioningConfig, TaskConfig
from lnt_core.data.captioned import load_captioned
from lnt_core.data.questions import Question
from lnt_core.evaluation.cider import CiderScorer
from lnt_core.evaluation.tasks.base import AskingTask, Scored, register


@register("flickr30k", "flickr8k", "coco", "scenes")
class Captioning(AskingTask[CaptioningConfig]):
    """Captions, scored against those of several people.

    Args:
        options: The config.
        split: Default: the split that chooses.
    """

    Config: ClassVar[type[TaskConfig]] = CaptioningConfig
    label: ClassVar[str] = "captioning"
    source: ClassVar[str] = "Vedantam et al., CIDEr, arXiv:1411.5726; pycocoevalcap"
    main: ClassVar[str] = "cider"

    def __init__(self, options: CaptioningConfig, split: str | None = None) -> None:
        self._split = split or options.split
        super().__init__(options)

    @cached_property
    def _scorer(self) -> CiderScorer:
        return CiderScorer([question.references for question in self.questions])

    @override
    def read(self) -> tuple[Question, ...]:
        items = load_captioned(self.options, self._split)
        return tuple(Question(i.image.name, i.image, "", i.references) for i in items)

    @override
    def score(self, answers: Sequence[str]) -> Scored:
        one_line = [" ".join(answer.split()) for answer in self.checked(answers)]
        ciders = tuple(self._scorer.scores(one_line))
        return Scored({self.main: fmean(ciders)}, ciders, ciders)
