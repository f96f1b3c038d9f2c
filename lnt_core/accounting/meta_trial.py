"""Predicts the costs of a strategy from a model on the meta device, which has no weights."""

from dataclasses import dataclass

from torch import nn

from lnt_core.accounting.connector import feature_channels
from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.lengths import TOKENS_PER_WORD, Lengths
from lnt_core.accounting.predicted import StepCost, longest_batch, predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.config import DataConfig, SelectConfig, TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies import Strategy
from lnt_core.strategies.base import base_of

WORDS_OF_EXAMPLE = 12
"""Words assumed in the answer of a text-only example, which is a caption."""


def scored(data: DataConfig) -> SelectConfig:
    """What a trial captions: `data.select`, or drawn scenes with the values of `scenes_data`."""
    return data.select or SelectConfig(
        task="scenes", annotations="", images="", max_new_tokens=24, batch_size=200
    )


@dataclass(frozen=True)
class MetaTrial:
    """A model on the meta device with a strategy applied, and the costs predicted from it."""

    model: nn.Module
    """With the strategy applied."""
    method: Strategy  # type: ignore[type-arg]
    """The strategy."""
    roles: Roles
    train: TrainConfig
    image_tokens: int
    """Tokens of one image."""
    on_gpu: bool
    """The trial runs on a GPU."""
    originals_gib: float = 0.0
    """Weights of the base that ``model`` does not share."""

    def predict(
        self, *, checkpointing: bool, lengths: Lengths, micro_batch_size: int | None = None
    ) -> StepCost:
        """Cost of a training step in one process, for the longest conversations.

        Args:
            checkpointing: Use gradient checkpointing.
            lengths: Lengths of the tune data.
            micro_batch_size: Default: that of ``train``.
        """
        micro = micro_batch_size or self.train.micro_batch
        changes = {"gradient_checkpointing": checkpointing, "micro_batch_size": micro}
        shape = longest_batch(self.model, self.roles, lengths, batch=micro)
        train = self.train.model_copy(update=changes)
        return predict_step(
            self.model,
            self.method,
            self.roles,
            train,
            shape,
            on_gpu=self.on_gpu,
            originals_gib=self.originals_gib,
        )

    def generation_gib(self, select: SelectConfig) -> float:
        """Peak GiB that captioning adds to the weights."""
        words = len(select.prompt.split()) * (1 + select.text_examples)
        answers = WORDS_OF_EXAMPLE * select.text_examples
        shape = StepShape(
            batch=select.batch_size,
            tokens=self.image_tokens + round(TOKENS_PER_WORD * (words + answers)),
            image_tokens=self.image_tokens,
            feature_channels=feature_channels(base_of(self.model), self.roles),
            answer_tokens=0,
        )
        return predict_generation_gib(
            self.model,
            self.roles,
            shape,
            max_new_tokens=select.max_new_tokens,
            bf16=self.train.precision == "bf16",
        )
