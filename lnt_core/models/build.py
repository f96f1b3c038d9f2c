"""Loads the base model: composed of parts as in the paper, a checkpoint, or the tiny model."""

import copy
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lnt_core.config import ModelConfig, Precision, TinyConfig
from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.conversation import Conversations
from lnt_core.distributed.sharded import loaded_in_parts
from lnt_core.distributed.zero_config import Deepspeed, stage_of
from lnt_core.errors import ConfigError
from lnt_core.models.checkpoint import conversations_alone, load_checkpoint
from lnt_core.models.roles import find_roles
from lnt_core.models.supported import check_supported
from lnt_core.models.tokens import conversations_of, join
from lnt_core.models.tower import first_tokens, image_tokens, vision_config
from lnt_core.models.vlm import VisionLanguageModel

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def load_base(
    config: ModelConfig,
    *,
    cache: Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    deepspeed: Deepspeed = None,
    opening: Opening = USUAL,
) -> VisionLanguageModel:
    """Load the base model, frozen, onto ``device``; the tiny model is trained on first use.

    Args:
        config: The model to load.
        cache: Folder kept between runs, where the tiny model is.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: With ``bf16`` the frozen weights are bfloat16, otherwise float32.
        deepspeed: Value of `train.deepspeed`. Under ZeRO-3 the language model is sharded, while
            each worker has the whole vision tower and connector; every worker must call this.
        opening: How images are opened, for checkpoints in which the number of
            an image's tokens depends on its size.

    Raises:
        ConfigError: The architecture is not supported, or no token is available for images.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    in_parts = functools.partial(loaded_in_parts, deepspeed, device=device, dtype=dtype)
    load: dict[str, Any] = {"dtype": dtype}
    if stage_of(deepspeed) != 3:  # straight from the file, tensor by tensor, not through the host
        load["device_map"] = {"": torch.device(device)}
    if config.checkpoint is not None:
        base = load_checkpoint(config, config.checkpoint, load, in_parts, opening=opening)
    else:
        language, vision = config.language_model, config.vision_tower
        if config.tiny:
            from lnt_core.models.tiny import tiny_model

            tiny = config.tiny if isinstance(config.tiny, TinyConfig) else TinyConfig()
            language, vision = tiny_model(tiny, cache)
        assert language is not None
        assert vision is not None
        base = _compose(config, language, vision, load, in_parts)
    base.model.requires_grad_(False)
    base.model.eval().to(device)
    return base


def build_on_meta(config: ModelConfig) -> "PreTrainedModel":
    """The same architecture on the meta device, without weights, for counting.

    It is built from ``config.shapes`` if given, else from the configs of its files.

    Raises:
        ConfigError: transformers cannot build it, or it is a checkpoint that cannot be tuned.
    """
    try:
        model = _built_on_meta(config)
    except Exception as error:  # transformers raises anything for configs that are not consistent
        raise ConfigError(
            f"model: transformers cannot build it: {type(error).__name__}: {error}"
        ) from error
    if config.checkpoint is not None:
        check_supported(model)
    return model


def _built_on_meta(config: ModelConfig) -> "PreTrainedModel":
    from transformers import AutoConfig, AutoModelForImageTextToText

    if config.checkpoint is not None:
        whole = (
            AutoConfig.from_pretrained(config.checkpoint)
            if config.shapes is None
            else _config_of(config.shapes.checkpoint)
        )
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(whole)
    if config.tiny:
        from lnt_core.models.tiny import LANGUAGE_SHAPE, VISION_SHAPE

        text, vision = _config_of(LANGUAGE_SHAPE), _config_of(VISION_SHAPE)
    elif config.shapes is not None:
        text, vision = _config_of(config.shapes.language), _config_of(config.shapes.vision)
    else:
        text = AutoConfig.from_pretrained(config.language_model)
        vision = vision_config(AutoConfig.from_pretrained(config.vision_tower))
    return _skeleton(config, text, vision)


def _config_of(shape: dict[str, Any]) -> "PretrainedConfig":
    from transformers import AutoConfig

    return AutoConfig.for_model(**shape)


def _skeleton(
    config: ModelConfig, text: "PretrainedConfig", vision: "PretrainedConfig"
) -> "PreTrainedModel":
    """LLaVA on the meta device, with the configured connector."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    untied = copy.deepcopy(text)  # LLaVA ties weights by LLaMA's names: tied below instead
    untied.tie_word_embeddings = False
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(
            LlavaConfig(
                vision_config=vision,
                text_config=untied,
                vision_feature_layer=config.vision_feature_layer,
                image_token_index=0,
                tie_word_embeddings=False,
            )
        )
        if config.connector == "linear":
            model.model.multi_modal_projector = nn.Linear(vision.hidden_size, text.hidden_size)
    if text.tie_word_embeddings:
        model.lm_head.weight = model.get_input_embeddings().weight
    return model


def _compose(
    config: ModelConfig,
    language: str,
    vision: str,
    load: dict[str, Any],
    in_parts: Callable[[], AbstractContextManager[None]],
) -> VisionLanguageModel:
    """LLaVA from a language model and a vision tower.

    Args:
        config: Connector, attention, conversation style.
        language: Name or folder of the language model.
        vision: Name or folder of the vision tower.
        load: Arguments of ``from_pretrained``: precision, device.
        in_parts: The context in which the language model is loaded.
    """
    from transformers import AutoImageProcessor, AutoModel, AutoModelForCausalLM, AutoTokenizer

    tower = AutoModel.from_pretrained(vision, **load)
    tower = getattr(tower, "vision_model", tower)
    with in_parts():
        causal = AutoModelForCausalLM.from_pretrained(
            language, attn_implementation=config.attention, **load
        )
    model = _skeleton(config, causal.config, tower.config)
    model.model.vision_tower = tower
    model.model.language_model = causal.base_model
    model.lm_head = causal.get_output_embeddings()
    connector = model.model.multi_modal_projector.to_empty(device="cpu")
    for module in connector.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()  # random until stage 1; seeded by the caller
    connector.to(load["dtype"])
    model.generation_config = causal.generation_config
    tokenizer = AutoTokenizer.from_pretrained(language)
    image_processor = AutoImageProcessor.from_pretrained(vision)
    num_tokens = image_tokens(tower.config, image_processor)
    conversations = conversations_of(config, tokenizer, num_tokens)
    join(model, conversations)
    return VisionLanguageModel(
        model=model,
        roles=find_roles(model),
        conversations=conversations,
        image_processor=image_processor,
        feature_layers=(config.vision_feature_layer,),
        num_dropped=first_tokens(tower),
    )


def load_conversations(config: ModelConfig, *, opening: Opening = USUAL) -> Conversations:
    """The conversations of a model other than the tiny one, without its weights."""
    from transformers import AutoConfig, AutoTokenizer

    if config.checkpoint is not None:
        return conversations_alone(config, config.checkpoint, opening=opening)
    vision = vision_config(AutoConfig.from_pretrained(config.vision_tower))
    tokenizer = AutoTokenizer.from_pretrained(config.language_model)
    return conversations_of(config, tokenizer, num_image_tokens(config, vision))


def most_image_tokens(config: ModelConfig) -> int:
    """An upper bound of the tokens of one image, from a model's files without its weights."""
    from transformers import AutoConfig

    if config.checkpoint is not None:
        return conversations_alone(config, config.checkpoint).most_image_tokens
    vision = vision_config(AutoConfig.from_pretrained(config.vision_tower))
    return num_image_tokens(config, vision) + 1 + getattr(vision, "num_register_tokens", 0)


def num_image_tokens(config: ModelConfig, vision: "PretrainedConfig") -> int:
    """The number of tokens of the patches of one image, without a model's weights.

    Args:
        config: A composed model, whose image processor is asked if it has files, or the tiny one.
        vision: Config of its vision tower.

    Raises:
        ConfigError: The number is not known, or not the same for every image.
    """
    from transformers import AutoImageProcessor

    if config.vision_tower is None or config.shapes is not None:
        return image_tokens(vision)
    return image_tokens(vision, AutoImageProcessor.from_pretrained(config.vision_tower))
