"""The typed, frozen config of one trial: everything that determines its outcome."""

from typing import Self

from pydantic import Field, model_validator

from lnt_core.config.bounds import Seed
from lnt_core.config.data import DataConfig
from lnt_core.config.model import ModelConfig
from lnt_core.config.train import AlignConfig, TuneConfig
from lnt_core.frozen import Frozen
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig


class StartedFrom(Frozen):
    """The checkpoint of another trial that this one starts from, instead of the base model."""

    trial: str
    """ID of the trial that wrote the checkpoint, which is copied to this trial's own folder."""
    step: int = Field(ge=1)
    """Optimizer steps done in the checkpoint."""


class TrialConfig(Frozen):
    """Everything that determines the outcome of one trial."""

    model: ModelConfig
    data: DataConfig
    strategy: AnyStrategyConfig
    learning_rate: float = Field(gt=0, lt=1)
    """Peak rate of stage 2. Required: no default suits both LoRA and LayerNorm tuning."""
    align: AlignConfig | None = None
    """Stage 1. Default: none (the connector of a checkpoint is already aligned)."""
    train: TuneConfig = TuneConfig()
    seed: Seed = 0
    train_seed: Seed | None = None
    """Seed of the training only: sample order, parameters that the strategy adds, dropout.
    Default: `seed`. Data subsets and text examples are always drawn with `seed`."""
    started_from: StartedFrom | None = None

    @property
    def seed_of_training(self) -> int:
        """`train_seed`, or `seed` if that is not given."""
        return self.seed if self.train_seed is None else self.train_seed

    def with_micro_batch(self, size: int) -> Self:
        """A copy with another micro-batch size, which must divide `batch_size`.

        In place of `auto` it is filled by tokens, unless `micro_batch_by` says otherwise.
        """
        by = self.train.micro_batch_by
        if by is None and self.train.micro_batch_size == "auto":
            by = "tokens"
        train = self.train.model_copy(update={"micro_batch_size": size, "micro_batch_by": by})
        return self.model_copy(update={"train": train})

    def with_checkpointing(self, *, on: bool) -> Self:
        """A copy with gradient checkpointing on or off."""
        train = self.train.model_copy(update={"gradient_checkpointing": on})
        return self.model_copy(update={"train": train})

    @model_validator(mode="after")
    def _strategy_allows(self) -> Self:
        name = self.strategy.name
        asked = self.train.gradient_checkpointing is True
        if asked and not STRATEGIES[name].allows_checkpointing:
            raise ValueError(
                f"`strategy` {name!r} does not work with gradient checkpointing; set "
                "`train.gradient_checkpointing: false`"
            )
        if self.train.deepspeed is not None and self.train.compile:
            raise ValueError(
                "`train.compile` does not work with `train.deepspeed`: leave one of them out"
            )
        if self.model.attention == "flash_attention_2" and self.train.precision != "bf16":
            raise ValueError(
                "`model.attention: flash_attention_2` supports only 16-bit precision: set "
                "`train.precision: bf16`, or leave `model.attention` out to use sdpa"
            )
        return self
