"""The typed, frozen config of ONE trial: model, data, strategy, learning rate, training, seed."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from lnt_core.frozen import Frozen
from lnt_core.strategies import STRATEGIES, AnyStrategyConfig
from lnt_core.training.zero_config import checked

CAPTION_PROMPT = "Provide a one-sentence caption for the provided image."
"""lmms-eval's captioning prompt (its flickr30k task)."""

Conversation = Literal["vicuna_v1", "plain", "chat_template"]
Kind = Literal["conversation", "detail", "reasoning"]
Precision = Literal["fp32", "tf32", "bf16"]


class DatasetConfig(Frozen):
    """Images with captions (Karpathy JSON) or with conversations (LLaVA JSON), told by layout."""

    annotations: str
    """The JSON file as published."""
    images: str
    """The folder that the file's image names are relative to."""
    split: str | None = None
    """Karpathy layout only: which split; left out, `train` with `restval`, as usual for COCO."""
    kinds: tuple[Kind, ...] = ()
    """LLaVA layout only: which of its three kinds of instructions; left out, all."""
    num_samples: int | None = Field(default=None, ge=1)
    """A random subset of this many samples, of those kinds, drawn with the trial's seed."""


class SelectConfig(Frozen):
    """The captioning task by which learning rates are chosen. Scores are CIDEr x 100."""

    task: Literal["flickr30k", "flickr8k", "coco", "scenes"]
    """The data set's name, under which a score is reported; the layout is Karpathy's for all."""
    annotations: str
    images: str
    split: str = "val"
    """The split that chooses."""
    report_split: str | None = None
    """A further split that is scored and reported but never chooses: `test` when `val` chooses."""
    num_images: int | None = Field(default=None, ge=2)
    """The first so many images of the split. A score depends on the set: do not compare across."""
    prompt: str = CAPTION_PROMPT
    text_examples: int = Field(default=0, ge=0, le=16)
    """Question-answer examples without image before the question; the paper uses 3."""
    max_new_tokens: int = Field(default=64, ge=1)
    batch_size: int = Field(default=64, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _report_test(cls, values: Any) -> Any:
        if isinstance(values, dict) and "report_split" not in values:
            chooses = values.get("split", "val")
            return {**values, "report_split": None if chooses == "test" else "test"}
        return values


class ScenesConfig(Frozen):
    """Drawn images with captions, made on this machine in Karpathy's layout."""

    num_train: int = Field(default=3000, ge=2)
    num_val: int = Field(default=200, ge=2)
    num_test: int = Field(default=200, ge=2)
    seed: int = Field(default=0, ge=0)


class DataConfig(Frozen):
    """Either files for each stage, or drawn scenes for all of them."""

    align: DatasetConfig | None = None
    """Stage 1; left out, the tune data."""
    tune: DatasetConfig | None = None
    select: SelectConfig | None = None
    scenes: ScenesConfig | None = None

    @model_validator(mode="after")
    def _files_or_scenes(self) -> Self:
        if self.scenes is not None:
            if self.align or self.tune or self.select:
                raise ValueError("give either `scenes` or files (`tune`, `select`), not both")
        elif self.tune is None or self.select is None:
            missing = [name for name in ("tune", "select") if getattr(self, name) is None]
            raise ValueError(f"missing {' and '.join(f'`{name}`' for name in missing)}")
        return self


class ShapesConfig(Frozen):
    """What the absent files would say: the architecture's config values, and how long data is."""

    language: dict[str, Any]
    vision: dict[str, Any]
    num_samples: int = Field(default=80_000, ge=1)
    """Of the tune data; LLaVA-Instruct-80K has so many."""
    tokens_per_sample: int = Field(default=512, ge=1)
    """Mean length, the image's tokens included."""
    longest_sample: int = Field(default=1024, ge=1)
    """Tokens; what memory is planned for."""


class TinyConfig(Frozen):
    """What the embedded model learns from before any sweep."""

    text: str | None = None
    """English to learn, one sentence a line; left out, the captions of drawn scenes."""
    pairs: DatasetConfig | None = None
    """Images with captions that the vision tower learns from; left out, drawn scenes."""


class ModelConfig(Frozen):
    """One of: language model + vision tower, a whole checkpoint, or the embedded tiny model."""

    language_model: str | None = None
    """A folder or hub name of any causal language model."""
    vision_tower: str | None = None
    """A folder or hub name of a CLIP-like vision tower."""
    attention: Literal["sdpa", "flash_attention_2", "eager"] | None = None
    """How the language model computes it, by transformers' names. Left out: `sdpa` where the
    architecture has it. Flash attention wants its own package, a GPU and `precision: bf16`."""
    connector: Literal["linear", "mlp2"] = "linear"
    vision_feature_layer: int = -2
    """Which hidden states of the tower are used; -2 is the last but one (LLaVA)."""
    checkpoint: str | None = None
    """A folder or hub name of a whole vision-language model."""
    tiny: bool | TinyConfig = False
    conversation: Conversation = "vicuna_v1"
    """How questions and answers become text. Left out: `vicuna_v1` for a language model with a
    vision tower, `chat_template` (its own) for a checkpoint, `plain` for the tiny model."""
    shapes: ShapesConfig | None = None
    """Only for `lnt plan --no-files`."""

    @model_validator(mode="before")
    @classmethod
    def _conversation_of_kind(cls, values: Any) -> Any:
        if isinstance(values, dict) and "conversation" not in values:
            if values.get("tiny"):
                return {**values, "conversation": "plain"}
            if values.get("checkpoint"):
                return {**values, "conversation": "chat_template"}
        return values

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        composed = self.language_model is not None or self.vision_tower is not None
        if sum((composed, self.checkpoint is not None, bool(self.tiny))) != 1:
            raise ValueError(
                "give exactly one of: `language_model` with `vision_tower`, `checkpoint`, `tiny`"
            )
        if composed and (self.language_model is None or self.vision_tower is None):
            raise ValueError("`language_model` and `vision_tower` belong together: give both")
        return self


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


class StartedFrom(Frozen):
    """Where a trial's training began that did not begin at the base model."""

    trial: str
    """Whose checkpoint it was; a copy lies in the trial's own folder."""
    step: int = Field(ge=1)
    """Optimiser steps that stood in it."""


class TrialConfig(Frozen):
    """Everything that determines the outcome of one trial."""

    model: ModelConfig
    data: DataConfig
    strategy: AnyStrategyConfig
    learning_rate: float = Field(gt=0, lt=1)
    """Peak rate of stage 2. No default: no value suits both LoRA and LayerNorm tuning."""
    align: AlignConfig | None = None
    """Left out: no stage 1 (a checkpoint's connector is aligned already)."""
    train: TuneConfig = TuneConfig()
    seed: int = Field(default=0, ge=0)
    train_seed: int | None = Field(default=None, ge=0)
    """Of what is random in training alone: sample order, what the strategy adds, dropout. Left
    out: `seed`. Subsets of the data and text examples stay those of `seed`."""
    started_from: StartedFrom | None = None

    @property
    def seed_of_training(self) -> int:
        """`train_seed`, or `seed` where it is left out."""
        return self.seed if self.train_seed is None else self.train_seed

    def with_micro_batch(self, size: int) -> Self:
        """The same with another micro batch; ``size`` divides the batch."""
        train = self.train.model_copy(update={"micro_batch_size": size})
        return self.model_copy(update={"train": train})

    @model_validator(mode="after")
    def _strategy_allows(self) -> Self:
        name = self.strategy.name
        if self.train.gradient_checkpointing and not STRATEGIES[name].allows_checkpointing:
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
                "`model.attention: flash_attention_2` computes in 16 bits: set "
                "`train.precision: bf16`, or leave it out for sdpa"
            )
        return self
