"""Loads a whole vision-language checkpoint, with its own processor."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lnt_core.config import ModelConfig
from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.conversation import Conversations
from lnt_core.distributed.sharded import make_whole
from lnt_core.models.processors import load_processor
from lnt_core.models.roles import find_roles, parameters_of
from lnt_core.models.supported import check_supported
from lnt_core.models.tokens import conversations_of, greedy, join, processed_conversations
from lnt_core.models.tower import first_tokens, image_tokens
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.models.whole import WholeModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def load_checkpoint(
    config: ModelConfig,
    checkpoint: str,
    load: dict[str, Any],
    in_parts: Callable[[], AbstractContextManager[None]],
    *,
    opening: Opening = USUAL,
) -> VisionLanguageModel:
    """The model of a checkpoint.

    Args:
        config: Attention, conversation style.
        checkpoint: Name or folder of the checkpoint.
        load: Arguments of ``from_pretrained``: precision, device.
        in_parts: The context in which the model is loaded.
        opening: How images are opened.

    Raises:
        ConfigError: The checkpoint's architecture is not supported.
    """
    from transformers import (
        AutoConfig,
        AutoModelForImageTextToText,
        LlavaForConditionalGeneration,
    )

    with torch.device("meta"):  # before weights are read, which can take minutes
        published = AutoConfig.from_pretrained(checkpoint)
        check_supported(AutoModelForImageTextToText.from_config(published))
    attention = {"text_config": config.attention} if config.attention else None
    with in_parts():
        model = AutoModelForImageTextToText.from_pretrained(
            checkpoint, attn_implementation=attention, **load
        )
    roles = find_roles(model)
    make_whole(model, parameters_of(model, roles.require("vision", "connector")))
    processor = load_processor(checkpoint, model.config)
    if not isinstance(model, LlavaForConditionalGeneration):
        conversations: Conversations = processed_conversations(config, processor, opening=opening)
        model.generation_config = greedy(conversations, model.generation_config)
        return WholeModel(
            model, roles, conversations, processor.image_processor, processor=processor
        )
    tower = model.get_submodule(*roles.require("vision"))
    conversations = _of_llava(config, model.config, processor, tower)
    join(model, conversations)
    layers = model.config.vision_feature_layer
    return VisionLanguageModel(
        model=model,
        roles=roles,
        conversations=conversations,
        image_processor=processor.image_processor,
        feature_layers=(layers,) if isinstance(layers, int) else tuple(layers),
        num_dropped=int(_drops_first(model.config)),
        processor=processor,
    )


def conversations_alone(
    config: ModelConfig, checkpoint: str, *, opening: Opening = USUAL
) -> Conversations:
    """The conversations of a checkpoint, without its weights.

    Args:
        config: Conversation style.
        checkpoint: Name or folder of the checkpoint.
        opening: How images are opened.
    """
    from transformers import AutoConfig, AutoModel, LlavaConfig

    whole = AutoConfig.from_pretrained(checkpoint)
    processor = load_processor(checkpoint, whole)
    if not isinstance(whole, LlavaConfig):
        return processed_conversations(config, processor, opening=opening)
    with torch.device("meta"):
        tower = AutoModel.from_config(whole.vision_config)
    return _of_llava(config, whole, processor, tower)


def _of_llava(
    config: ModelConfig, whole: "PretrainedConfig", processor: Any, tower: nn.Module
) -> Conversations:
    first = 0 if _drops_first(whole) else first_tokens(tower)
    num_tokens = image_tokens(whole.vision_config) + first
    return conversations_of(config, processor.tokenizer, num_tokens, processor)


def _drops_first(whole: "PretrainedConfig") -> bool:
    """Whether LLaVA drops the tower's first token."""
    return bool(whole.vision_feature_select_strategy == "default")
