"""Config of the base model: two models composed, a whole checkpoint, or the tiny model."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lnt_core.config.bounds import MAX_TOKENS
from lnt_core.config.dataset import DatasetConfig
from lnt_core.frozen import Frozen

Conversation = Literal["vicuna_v1", "llava_llama_2", "plain", "chat_template"]


MAX_LAYERS, MAX_SIZE = 1000, 10_000_000
"""Bounds of an architecture without files: layers are built one by one, if without weights."""


class LengthsConfig(Frozen):
    """Number and lengths of the samples of a data file that is absent."""

    num_samples: int = Field(ge=1, le=10**9)
    """Samples in the data."""
    tokens_per_sample: int = Field(ge=1, le=MAX_TOKENS)
    """Mean tokens of a sample, image tokens included."""
    longest_sample: int = Field(ge=1, le=MAX_TOKENS)
    """Tokens of the longest sample, for which memory is planned."""


class ShapesConfig(Frozen):
    """Architectures and sample lengths, in place of model and data files that are absent."""

    language: dict[str, Any] = Field(default_factory=dict)
    """Config values of the language model, `model_type` included."""
    vision: dict[str, Any] = Field(default_factory=dict)
    """Config values of the vision tower, `model_type` included."""
    checkpoint: dict[str, Any] = Field(default_factory=dict)
    """Config values of a whole checkpoint, `model_type`, `text_config` and `vision_config`
    included."""
    image_tokens: int | None = Field(default=None, ge=1, le=MAX_TOKENS)
    """Tokens of one image, for a whole checkpoint, whose processor would know."""
    num_samples: int = Field(default=80_000, ge=1, le=10**9)
    """Samples in the tune data; the default is the size of LLaVA-Instruct-80K."""
    tokens_per_sample: int = Field(default=512, ge=1, le=MAX_TOKENS)
    """Mean tokens of a sample, image tokens included."""
    longest_sample: int = Field(default=1024, ge=1, le=MAX_TOKENS)
    """Tokens of the longest sample, for which memory is planned."""
    align: LengthsConfig | None = None
    """The same of the align data. Default: as the tune data."""

    @model_validator(mode="after")
    def _room_for_text(self) -> Self:
        image = self.image_tokens or 0
        if image >= min(self.longest_sample, self.tokens_per_sample):
            raise ValueError(
                f"`tokens_per_sample` and `longest_sample` must be more than the {image} tokens of "
                "an image, which they include"
            )
        return self

    @field_validator("language", "vision", "checkpoint")
    @classmethod
    def _buildable(cls, shape: dict[str, Any]) -> dict[str, Any]:
        for key, value in shape.items():
            if isinstance(value, dict):
                cls._buildable(value)
            limit = MAX_LAYERS if "layers" in str(key) else MAX_SIZE
            if isinstance(value, int | float) and not -limit <= value <= limit:
                raise ValueError(f"`{key}` is {value:g}, but must be at most {limit:,}")
        return shape


class TinyConfig(Frozen):
    """Training data of the embedded tiny model, which is trained before the first sweep."""

    text: str | None = None
    """File of English text, one sentence per line. Default: the captions of `pairs`."""
    pairs: DatasetConfig | None = None
    """Captioned images that the vision tower learns from. Default: drawn scenes."""


class ModelConfig(Frozen):
    """The base model: language model + vision tower, a whole checkpoint, or the tiny model."""

    language_model: str | None = None
    """Folder or Hugging Face Hub name of any causal language model."""
    vision_tower: str | None = None
    """Folder or Hub name of a vision tower of fixed resolution: CLIP, SigLIP, SigLIP 2, DINOv2."""
    attention: Literal["sdpa", "flash_attention_2", "eager"] | None = None
    """Attention implementation of the language model, by transformers' names. Default: `sdpa`
    where the architecture supports it. `flash_attention_2` needs the flash-attn package, a GPU and
    `precision: bf16`."""
    connector: Literal["linear", "mlp2"] = "linear"
    """Projection of image features into the language model: one linear layer, or two with GELU."""
    vision_feature_layer: int = -2
    """Index of the vision tower's hidden states to use; -2 is the second-to-last, as in LLaVA."""
    checkpoint: str | None = None
    """Folder or Hub name of a whole vision-language model."""
    tiny: bool | TinyConfig = False
    """Use the embedded tiny model. A mapping says what it is trained on."""
    conversation: Conversation = "vicuna_v1"
    """Format of questions and answers as text; `llava_llama_2` is LLaVA's for LLaMA-2-chat.
    Default: `vicuna_v1` for a language model with a vision tower, `chat_template` (the model's own)
    for a checkpoint, `plain` for the tiny model."""
    shapes: ShapesConfig | None = None
    """Only for plans without model files (`lnt plan --no-files`)."""

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
        if self.checkpoint is not None and (given := self._of_composed()):
            raise ValueError(f"a checkpoint has its own {' and '.join(given)}: leave it out")
        if self.shapes is not None and (lacks := self._lacking_shapes(self.shapes)):
            raise ValueError(f"`shapes` needs {lacks}")
        return self

    def _lacking_shapes(self, shapes: ShapesConfig) -> str:
        if self.checkpoint is None:
            return "" if shapes.language and shapes.vision else "`language` and `vision`"
        is_given = shapes.checkpoint and shapes.image_tokens
        return "" if is_given else "`checkpoint` and `image_tokens`, since this is a checkpoint"

    def _of_composed(self) -> list[str]:
        """The keys for composed models that were given another value than their default."""
        fields = type(self).model_fields
        keys = ("connector", "vision_feature_layer")
        return [f"`{key}`" for key in keys if getattr(self, key) != fields[key].default]
