"""Training configs of both stages: steps, batches, schedule, precision, DeepSpeed."""

import itertools
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from lnt_core.config.bounds import MAX_BATCH, MAX_TOKENS, Seed
from lnt_core.distributed.zero_config import checked
from lnt_core.frozen import Frozen

Precision = Literal["fp32", "tf32", "bf16"]


def _number_or_auto(value: Any) -> str:
    """The union member to validate against, so that errors mention only that one."""
    return "auto" if isinstance(value, str) and not value.isdecimal() else "number"


def _auto(value: Any) -> Any:
    if value != "auto":
        raise PydanticCustomError("auto", "must be `auto` or a whole number of at least 1")
    return value


MicroBatchSize = Annotated[
    Annotated[int, Field(ge=1, le=MAX_BATCH), Tag("number")]
    | Annotated[Literal["auto"], BeforeValidator(_auto), Tag("auto")],
    Discriminator(_number_or_auto),
]


def _bool_or_auto(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        raise PydanticCustomError("auto", "must be `true`, `false` or `auto`") from None


Checkpointing = Annotated[bool | Literal["auto"], WrapValidator(_bool_or_auto)]


class TrainConfig(Frozen):
    """AdamW with linear warm-up and cosine decay to zero, as in the paper."""

    epochs: float | None = Field(default=None, gt=0, le=10_000)
    """Passes over the stage's data. Default: 1, unless `max_steps` is given."""
    max_steps: int | None = Field(default=None, ge=1, le=10_000_000)
    """Optimizer steps, instead of `epochs`."""
    batch_size: int = Field(default=128, ge=1, le=MAX_BATCH)
    """Samples per optimizer step, over all micro-batches and workers."""
    micro_batch_size: MicroBatchSize = 16
    """Most samples of a forward and backward pass; one worker takes fewer where that saves padding.
    With `auto` (stage 2 only) each trial uses the largest size whose predicted step fits its device
    (``lnt_core.accounting.auto``)."""
    micro_batch_by: Literal["samples", "tokens"] | None = None
    """With `tokens` a micro-batch of one worker may have more than `micro_batch_size` samples, as
    long as they are, with their padding, no more tokens than that many of the longest conversation
    of the data: it needs no more memory. Default: `tokens` where `micro_batch_size` is `auto`, else
    `samples`."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of AdamW."""
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    """Fraction of the optimizer steps in which the learning rate rises to its peak."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Norm to which gradients are clipped."""
    gradient_checkpointing: Checkpointing = True
    """Recompute activations in the backward pass instead of keeping them, to save memory."""
    compile: bool = False
    """Compile forward and backward (`torch.compile`): takes minutes once, then steps are faster."""
    precision: Precision = "fp32"
    """`fp32`; `tf32`, which is float32 with TF32 matrix products (NVIDIA GPUs only); or `bf16`, in
    which frozen weights and computation are bfloat16 and trained parameters float32. In a sweep the
    default is `bf16` if its trials use GPUs."""
    deterministic: bool = False
    """Use operations that give the same digits in every run on the same kind of GPU, or fail where
    there are none. Without it, the last digits vary on a GPU: attention's backward pass adds in a
    random order. On a CPU they do not vary in either case."""
    max_length: int = Field(default=2048, ge=8, le=MAX_TOKENS)
    """Conversations are truncated to this many tokens, which must be more than an image has."""
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    """Optimizer steps between checkpoints."""
    checkpoint_every_s: float | None = Field(default=None, gt=0)
    """Seconds between checkpoints, from the end of one to the start of the next, instead of
    `checkpoint_every_steps`. Default of both: 30 s, or 20 times as long as the last checkpoint took
    to write if that is more, so that large ones take at most 5 % of the time."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.epochs is not None and self.max_steps is not None:
            raise ValueError("give `epochs` or `max_steps`, not both")
        if self.checkpoint_every_steps is not None and self.checkpoint_every_s is not None:
            raise ValueError("give `checkpoint_every_steps` or `checkpoint_every_s`, not both")
        if self.micro_batch_size != "auto" and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"`batch_size` ({self.batch_size}) must be a multiple of "
                f"`micro_batch_size` ({self.micro_batch_size})"
            )
        return self

    def num_steps(self, num_samples: int) -> int:
        """`max_steps`, or the number of full batches in `epochs` passes, but at least 1.

        Example:
            >>> TrainConfig(batch_size=128, epochs=2).num_steps(1000)
            15
        """
        if self.max_steps is not None:
            return self.max_steps
        return max(1, int((self.epochs or 1) * num_samples / self.batch_size))

    @property
    def micro_batch(self) -> int:
        """`micro_batch_size` as a number.

        Raises:
            ValueError: It is `auto`, which a trial replaces by a number before it trains.
        """
        if self.micro_batch_size == "auto":
            raise ValueError("`micro_batch_size` is still 'auto', not yet resolved to a number")
        return self.micro_batch_size

    @property
    def checkpointing(self) -> bool:
        """`gradient_checkpointing` as a boolean.

        Raises:
            ValueError: It is `auto`, which a trial replaces before it trains.
        """
        if self.gradient_checkpointing == "auto":
            raise ValueError("`gradient_checkpointing` is still 'auto', not yet resolved")
        return self.gradient_checkpointing

    @property
    def is_settled(self) -> bool:
        """Whether neither `micro_batch_size` nor `gradient_checkpointing` is `auto`."""
        return "auto" not in (self.micro_batch_size, self.gradient_checkpointing)


MAX_RATIO = 1000
"""Bound of the ratios of two learning rates, which the paper's grid spans four orders of."""


class RateRatio(Frozen):
    """Rates of parts that most strategies train besides their own, relative to the trial's."""

    connector: float = Field(default=1.0, gt=0, le=MAX_RATIO)
    """Learning rate of the connector, in learning rates of the trial."""
    embedding: float = Field(default=1.0, gt=0, le=MAX_RATIO)
    """That of word embedding and output head, also if they are one tensor."""


class TuneConfig(TrainConfig):
    """Training config of stage 2."""

    gradient_checkpointing: Checkpointing = "auto"
    """Recompute activations in the backward pass instead of keeping them, to save memory. With
    `auto` (stage 2 only) each trial does so only if its predicted step would not fit its device
    otherwise (``lnt_core.accounting.auto``)."""
    rate_ratio: RateRatio = RateRatio()
    """Learning rates of the connector and of the embedding relative to the trial's, as
    `{connector: 0.1}`. `search.values` varies them by their keys, as `train.rate_ratio.connector`.
    `train/lr` is the rate of all else that trains."""
    evaluate_at_steps: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Steps before the last, in ascending order, at which the held-out score is computed as well,
    for early stopping."""
    analyse: bool = True
    """Compute the paper's analyses: the variance of the blocks' gradients in the first 10 steps,
    and, once the trial is scored and saved, the similarity of its layers. A trial whose layers
    cannot be analysed, for lack of memory say, ends all the same, with a note."""
    deepspeed: str | dict[str, Any] | None = None
    """`zero1`, `zero2`, `zero3`, or a DeepSpeed config with a ZeRO stage and, optionally, CPU
    offload. The trial can then be trained by several workers."""

    @model_validator(mode="after")
    def _ascending_before_the_last(self) -> Self:
        steps = self.evaluate_at_steps
        if any(step >= after for step, after in itertools.pairwise(steps)):
            raise ValueError(f"`evaluate_at_steps` is {list(steps)}, but must be ascending")
        if steps and self.max_steps is not None and steps[-1] >= self.max_steps:
            raise ValueError(
                f"`evaluate_at_steps` has step {steps[-1]}, but must be below `max_steps` "
                f"({self.max_steps}), where the trial is scored in any case"
            )
        return self

    @field_validator("deepspeed", mode="before")
    @classmethod
    def _deepspeed(cls, value: Any) -> Any:
        return checked(value)


class AlignConfig(TrainConfig):
    """Training config of stage 1: the connector alone, before any strategy.

    The paper uses a learning rate of 2e-3 and 3 epochs.
    """

    learning_rate: float = Field(default=2e-3, gt=0, lt=1)
    """Peak learning rate of stage 1."""
    seed: Seed = 0
    """Seed of stage 1, separate so that trials with different seeds share one stage 1."""

    @field_validator("micro_batch_size")
    @classmethod
    def _one_for_all_trials(cls, value: MicroBatchSize) -> MicroBatchSize:
        if value == "auto":
            raise PydanticCustomError(
                "auto", "must be a whole number: `auto` is for stage 2 (`train`) only"
            )
        return value

    @field_validator("gradient_checkpointing")
    @classmethod
    def _the_same_for_all_trials(cls, value: Checkpointing) -> Checkpointing:
        if value == "auto":
            raise PydanticCustomError(
                "auto", "must be `true` or `false`: `auto` is for stage 2 (`train`) only"
            )
        return value
