"""The base model of a trial: composed, a whole checkpoint, or the embedded tiny one."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from lnt_core.config.data import DatasetConfig
from lnt_core.frozen import Frozen

Conversation = Literal["vicuna_v1", "plain", "chat_template"]


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
