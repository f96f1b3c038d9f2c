"""Loss: nats per answer token on data that is not trained on."""

from collections.abc import Sequence
from typing import ClassVar

from typing_extensions import override

from lnt_core.config import LossConfig, TaskConfig
from lnt_core.data.questions import Question
from lnt_core.data.samples import load_samples
from lnt_core.errors import DataError
from lnt_core.evaluation.tasks.base import Scored, Task, register
from lnt_core.paths import shown


@register("loss")
class HeldOutLoss(Task[LossConfig]):
    """Conversations of a split that is not trained on."""

    Config: ClassVar[type[TaskConfig]] = LossConfig
    label: ClassVar[str] = "held-out loss"
    source: ClassVar[str] = "the loss of stage 2, without training"
    main: ClassVar[str] = "loss"

    @override
    def read(self) -> tuple[Question, ...]:
        self.samples = load_samples(self.options, seed=0)
        """The conversations, in the order of the questions."""
        if not self.samples:
            raise DataError(
                f"{shown(self.options.annotations)} has no samples of split "
                f"{shown(repr(self.options.split))}"
            )
        return tuple(
            Question(
                str(number),
                s.images[0] if s.images else None,
                s.turns[0][0],
                tuple(answer for _, answer in s.turns),
            )
            for number, s in enumerate(self.samples)
        )

    @override
    def limit(self, number: int) -> None:
        super().limit(number)
        self.samples = self.samples[:number]

    def score_nats(self, nats: Sequence[float], tokens: Sequence[int]) -> Scored:
        """The loss of all answers together: the sum of nats over the sum of tokens.

        Args:
            nats: The sum over each conversation's answer tokens.
            tokens: How many these are, at least 1.
        """
        total = sum(tokens)
        loss = sum(nats) / total
        weight = len(tokens) / total
        return Scored(
            {self.main: loss},
            tuple(n / t for n, t in zip(nats, tokens, strict=True)),
            tuple(loss + (n - loss * t) * weight for n, t in zip(nats, tokens, strict=True)),
        )
