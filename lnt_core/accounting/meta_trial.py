"""A model without weights to which a strategy was applied."""

from dataclasses import dataclass

from torch import nn

from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.lengths import TOKENS_PER_WORD, Lengths
from lnt_core.accounting.predicted import (
    StepCost,
    feature_channels,
    longest_batch,
    predict_step,
)
from lnt_core.accounting.step import StepShape
from lnt_core.config import DataConfig, SelectConfig, TrainConfig
from lnt_core.models.roles import Roles
from lnt_core.strategies import Strategy

WORDS_OF_EXAMPLE = 12
"""Of the answer of a text-only example: a caption's."""


@dataclass(frozen=True)
class MetaTrial:
    """What a step of it takes, and captioning."""

    model: nn.Module
    method: Strategy  # type: ignore[type-arg]
    roles: Roles
    train: TrainConfig
    image_tokens: int
    on_gpu: bool

    def predict(
        self, *, checkpointing: bool, lengths: Lengths, micro_batch_size: int | None = None
    ) -> StepCost:
        """One step in one process, at the longest conversations; left out, its own micro batch."""
        micro = micro_batch_size or self.train.micro_batch
        changes = {"gradient_checkpointing": checkpointing, "micro_batch_size": micro}
        shape = longest_batch(
            self.model, self.roles, lengths, batch=micro, image_tokens=self.image_tokens
        )
        train = self.train.model_copy(update=changes)
        return predict_step(self.model, self.method, self.roles, train, shape, on_gpu=self.on_gpu)

    def generation_gib(self, data: DataConfig) -> float:
        """Of captioning; drawn scenes are captioned as `scenes_data` says."""
        select = data.select or SelectConfig(
            task="scenes", annotations="", images="", max_new_tokens=24, batch_size=200
        )
        words = len(select.prompt.split()) * (1 + select.text_examples)
        answers = WORDS_OF_EXAMPLE * select.text_examples
        shape = StepShape(
            batch=select.batch_size,
            tokens=self.image_tokens + round(TOKENS_PER_WORD * (words + answers)),
            image_tokens=self.image_tokens,
            feature_channels=feature_channels(self.model, self.roles),
            answer_tokens=0,
        )
        return predict_generation_gib(
            self.model,
            self.roles,
            shape,
            max_new_tokens=select.max_new_tokens,
            bf16=self.train.precision == "bf16",
        )
