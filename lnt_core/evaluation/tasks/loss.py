"""Loss: nats per answer token on data that is not trained on."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from lnt_core.config import LossConfig, TaskConfig
from lnt_core.data.questions import Question
from lnt_core.data.samples import load_samples
from lnt_core.errors import DataError
from lnt_core.evaluation.tasks.base import Scored, Task, register
from lnt_core.paths import shown

if TYPE_CHECKING:
    from torch import Tensor, nn

    from lnt_core.training.batches import Batch


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


def answer_nats(model: "nn.Module", batch: "Batch", *, bf16: bool = False) -> list[float]:
    """The sum of nats over the answer tokens of each of B conversations, in float32.

    Args:
        model: Returns logits of shape (B, T', V) for the last T' positions.
        batch: B conversations of T tokens, each with an answer token.
        bf16: Run the model under bfloat16 autocast.
    """
    import torch

    from lnt_core.data.conversation import IGNORE

    device = next(model.parameters()).device
    first = int((batch.labels != IGNORE).any(dim=0).nonzero()[0])
    keep = batch.labels.shape[1] - max(first - 1, 0)  # logits before the first answer are unused
    context = torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    with torch.no_grad(), context:
        logits: Tensor = model(
            **batch.inputs(device),
            logits_to_keep=keep,
            use_cache=False,
        ).logits
        labels = batch.labels[:, -keep:].to(device)
        nats = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().transpose(1, 2),
            labels[:, 1:],
            ignore_index=IGNORE,
            reduction="none",
        )
    summed: list[float] = nats.double().sum(dim=1).tolist()
    return summed
