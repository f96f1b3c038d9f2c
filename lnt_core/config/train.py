"""How a stage trains: steps, batches, precision, and what shares the work."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from lnt_core.distributed.zero_config import checked
from lnt_core.frozen import Frozen

Precision = Literal["fp32", "tf32", "bf16"]


def _number_or_auto(value: Any) -> str:
    """Which of the two is meant, so that problems are worded for that one alone."""
    return "auto" if isinstance(value, str) and not value.isdecimal() else "number"


def _auto(value: Any) -> Any:
    if value != "auto":
        raise PydanticCustomError("auto", "must be `auto` or a whole number from 1 on")
    return value


MicroBatchSize = Annotated[
    Annotated[int, Field(ge=1), Tag("number")]
    | Annotated[Literal["auto"], BeforeValidator(_auto), Tag("auto")],
    Discriminator(_number_or_auto),
]


class TrainConfig(Frozen):
    """AdamW with linear warm-up and cosine to zero, as in the paper."""

    epochs: float | None = Field(default=None, gt=0)
    """Passes over the tune data; 1 when `max_steps` is left out as well."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps, in place of `epochs`."""
    batch_size: int = Field(default=128, ge=1)
    """Samples of one optimiser step, over all micro-batches."""
    micro_batch_size: MicroBatchSize = 16
    """Samples of one forward and backward pass. `auto`, for stage 2: each trial takes the largest
    whose predicted step fits its device (``lnt_core.accounting.micro_batch``)."""
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    max_grad_norm: float = Field(default=1.0, gt=0)
    gradient_checkpointing: bool = True
    compile: bool = False
    """Compile the forward and backward pass (`torch.compile`): minutes once, then faster steps."""
    precision: Precision = "fp32"
    max_length: int = Field(default=2048, ge=8)
    """Tokens behind which a conversation is cut."""
    checkpoint_every_steps: int = Field(default=50, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("give `epochs` or `max_steps`, not both")
        if self.micro_batch_size != "auto" and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"`batch_size` ({self.batch_size}) must be a multiple of "
                f"`micro_batch_size` ({self.micro_batch_size})"
            )
        return self

    def num_steps(self, num_samples: int) -> int:
        """Optimiser steps over so many samples; a last batch that is not full is left out.

        Example:
            >>> TrainConfig(batch_size=128, epochs=2).num_steps(1000)
            15
        """
        if self.max_steps is not None:
            return self.max_steps
        return max(1, int((self.epochs or 1) * num_samples / self.batch_size))

    @property
    def micro_batch(self) -> int:
        """`micro_batch_size` where it is a number, as in all that trains.

        Raises:
            ValueError: It is still `auto`; a trial puts a number there before it trains.
        """
        if self.micro_batch_size == "auto":
            raise ValueError("`micro_batch_size` is still 'auto': no number was found for it yet")
        return self.micro_batch_size


class TuneConfig(TrainConfig):
    """Stage 2."""

    evaluate_at_steps: tuple[int, ...] = ()
    """Steps before the last at which the selection score is taken too, for early stopping."""
    deepspeed: str | dict[str, Any] | None = None
    """`zero1`, `zero2`, `zero3`, or a config as DeepSpeed takes it, with its ZeRO stage and what
    is offloaded to the CPU. One worker or more train the trial then."""

    @field_validator("deepspeed", mode="before")
    @classmethod
    def _deepspeed(cls, value: Any) -> Any:
        return checked(value)


class AlignConfig(TrainConfig):
    """Stage 1: the connector alone, before any strategy. The paper: lr 2e-3, 3 epochs."""

    learning_rate: float = Field(default=2e-3, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    """Its own, so that trials with other seeds still share one stage 1."""

    @field_validator("micro_batch_size")
    @classmethod
    def _one_for_all_trials(cls, value: MicroBatchSize) -> MicroBatchSize:
        if value == "auto":
            raise PydanticCustomError(
                "auto", "must be a whole number: `auto` is for stage 2 (`train`) alone"
            )
        return value
