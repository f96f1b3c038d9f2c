"""Predicts the costs of a strategy from a model on the meta device, which has no weights."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lnt_core.accounting.analysis import AnalysisCost, predict_analysis
from lnt_core.accounting.connector import feature_channels
from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.lengths import TOKENS_PER_WORD, Lengths
from lnt_core.accounting.predicted import StepCost, longest_batch, predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.analysis.trial_analysis import NUM_IMAGES
from lnt_core.config import (
    CAPTION_PROMPT,
    AnyTaskConfig,
    AskingConfig,
    CaptioningConfig,
    DataConfig,
    LossConfig,
    TrainConfig,
)
from lnt_core.data.scene_questions import scene_task
from lnt_core.models.roles import Roles
from lnt_core.strategies import Strategy
from lnt_core.strategies.base import base_of

WORDS_OF_QUESTION = 20
"""Words assumed in a question of a benchmark, beside those of the prompt around it."""
WORDS_OF_EXAMPLE = 12
"""Words assumed in the answer of a text-only example, which is a caption."""


def scored(data: DataConfig) -> AnyTaskConfig:
    """What chooses: `data.select`, or that of `data.scenes`, whose files are not looked at."""
    if data.select is not None:
        return data.select
    assert data.scenes is not None
    return scene_task(data.scenes.select, Path(), Path())


def tokens_of_prompt(select: AnyTaskConfig, *, image_tokens: int) -> int:
    """Tokens of a task's prompt, estimated, with one image in it."""
    prompt = CAPTION_PROMPT if isinstance(select, LossConfig) else select.prompt
    examples = select.text_examples if isinstance(select, CaptioningConfig) else 0
    asked = WORDS_OF_QUESTION if isinstance(select, AskingConfig) else 0
    words = asked + len(prompt.split()) * (1 + examples)
    return image_tokens + round(TOKENS_PER_WORD * (words + WORDS_OF_EXAMPLE * examples))


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

    def generation_gib(self, select: AnyTaskConfig) -> float:
        """Peak GiB that generating answers adds to the weights; 0 if none are generated."""
        if isinstance(select, LossConfig):
            return 0.0
        return predict_generation_gib(
            self.model,
            self.roles,
            self._prompts(select, select.batch_size),
            max_new_tokens=select.max_new_tokens,
            bf16=self.train.precision == "bf16",
        )

    def analysis(self, select: AnyTaskConfig) -> AnalysisCost:
        """Cost of the analysis of layers."""
        limit = select.num_images if isinstance(select, CaptioningConfig) else None
        return predict_analysis(
            self.model,
            self.roles,
            self._prompts(select, min(NUM_IMAGES, limit or NUM_IMAGES)),
            bf16=self.train.precision == "bf16",
            on_gpu=self.on_gpu,
        )

    def _prompts(self, select: AnyTaskConfig, number: int) -> StepShape:
        return StepShape(
            batch=number,
            tokens=tokens_of_prompt(select, image_tokens=self.image_tokens),
            image_tokens=self.image_tokens,
            feature_channels=feature_channels(base_of(self.model), self.roles),
            answer_tokens=0,
        )
