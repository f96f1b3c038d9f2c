"""Loads a whole vision-language checkpoint, with its own processor."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from torch import nn

from lnt_core.config import ModelConfig
from lnt_core.data.conversation import Conversations
from lnt_core.distributed.sharded import make_whole
from lnt_core.errors import ConfigError
from lnt_core.models.roles import find_roles
from lnt_core.models.tokens import conversations_of, join
from lnt_core.models.tower import first_tokens, image_tokens
from lnt_core.models.vlm import VisionLanguageModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def load_checkpoint(
    config: ModelConfig,
    checkpoint: str,
    load: dict[str, Any],
    in_parts: Callable[[], AbstractContextManager[None]],
) -> VisionLanguageModel:
    """The model of a checkpoint with the layout of LLaVA.

    Args:
        config: Attention, conversation style.
        checkpoint: Name or folder of the checkpoint.
        load: Arguments of ``from_pretrained``: precision, device.
        in_parts: The context in which the model is loaded.

    Raises:
        ConfigError: The checkpoint has another layout.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    attention = {"text_config": config.attention} if config.attention else None
    with in_parts():
        model = AutoModelForImageTextToText.from_pretrained(
            checkpoint, attn_implementation=attention, **load
        )
    roles = find_roles(model)
    for part in roles.require("vision", "connector"):
        make_whole(model.get_submodule(part))
    layers = getattr(model.config, "vision_feature_layer", None)
    if layers is None:
        raise ConfigError(
            f"model.checkpoint: the config of {type(model).__name__} has no "
            "`vision_feature_layer` (the layer of the vision tower to use); only models with the "
            "layout of LLaVA are supported"
        )
    processor = AutoProcessor.from_pretrained(checkpoint)
    tower = model.get_submodule(*roles.require("vision"))
    conversations = checkpoint_conversations(config, model.config, processor, tower)
    join(model, conversations)
    return VisionLanguageModel(
        model=model,
        roles=roles,
        conversations=conversations,
        image_processor=processor.image_processor,
        feature_layers=(layers,) if isinstance(layers, int) else tuple(layers),
        num_dropped=int(_drops_first(model.config)),
        processor=processor,
    )


def checkpoint_conversations(
    config: ModelConfig, whole: "PretrainedConfig", processor: Any, tower: nn.Module
) -> Conversations:
    """The conversations of a checkpoint, whose processor has its own tokens and template.

    Args:
        config: Conversation style.
        whole: The checkpoint's config.
        processor: The checkpoint's processor.
        tower: The vision tower; it may be without weights, on the meta device.
    """
    first = 0 if _drops_first(whole) else first_tokens(tower)
    num_tokens = image_tokens(whole.vision_config) + first
    return conversations_of(config, processor.tokenizer, num_tokens, processor)


def _drops_first(whole: "PretrainedConfig") -> bool:
    """Whether LLaVA drops the tower's first token."""
    return bool(whole.vision_feature_select_strategy == "default")
