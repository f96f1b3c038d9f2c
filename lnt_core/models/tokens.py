"""What joins a tokenizer to a model: the token of images, padding, and the tokens that end text."""

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lnt_core.config import ModelConfig
from lnt_core.config.opening import Opening
from lnt_core.data.chat_template import ChatTemplate
from lnt_core.data.conversation import Conversations
from lnt_core.data.processed import ProcessedConversations, SuffixConversations, takes_suffix
from lnt_core.data.samples import IMAGE
from lnt_core.errors import ConfigError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

IMAGE_VALUE = -10_000.0
"""What an image token is embedded as before the image's features take its place: unlike any
embedding."""


def conversations_of(
    config: ModelConfig,
    tokenizer: "PreTrainedTokenizerBase",
    num_image_tokens: int,
    processor: Any = None,
) -> Conversations:
    """The conversations of a model.

    The image token is one that no text has: the model's own, or a new one. A new one needs no row
    in the embedding (:func:`join`), so it never shares a row with padding or text.

    Args:
        config: The model's config.
        tokenizer: The model's tokenizer, which may get a new token.
        num_image_tokens: Number of tokens of one image.
        processor: The processor of a vision-language model; None for a composed one.

    Raises:
        ConfigError: The model has no chat template, or no end of sequence.
    """
    image_token = str(getattr(processor, "image_token", None) or IMAGE)
    if tokenizer.convert_tokens_to_ids(image_token) in (None, tokenizer.unk_token_id):
        tokenizer.add_tokens([image_token], special_tokens=True)
    image_id = tokenizer.convert_tokens_to_ids(image_token)
    _settle_ends(tokenizer, image_id)
    return Conversations(
        style=config.conversation,
        tokenizer=tokenizer,
        image_token=image_token,
        num_image_tokens=num_image_tokens,
        template=_template(config, tokenizer, processor, image_token),
    )


def processed_conversations(
    config: ModelConfig, processor: Any, *, opening: Opening
) -> ProcessedConversations:
    """The conversations of a checkpoint whose processor knows how many tokens an image has.

    Args:
        config: The model's config.
        processor: The checkpoint's own.
        opening: How images are opened.

    Raises:
        ConfigError: The model has no chat template, or no end of sequence.
    """
    tokenizer, image_token = processor.tokenizer, str(processor.image_token)
    _settle_ends(tokenizer, tokenizer.convert_tokens_to_ids(image_token))
    by_suffix = not processor.chat_template and takes_suffix(processor)
    own = by_suffix and config.conversation == "chat_template"
    return (SuffixConversations if own else ProcessedConversations)(
        style=config.conversation,
        tokenizer=tokenizer,
        image_token=image_token,
        num_image_tokens=0,
        template=None if own else _template(config, tokenizer, processor, image_token),
        processor=processor,
        opening=opening,
    )


def _settle_ends(tokenizer: "PreTrainedTokenizerBase", image_id: int) -> None:
    """Let padding be a token other than the image's; without an end of sequence, refuse."""
    if tokenizer.eos_token is None:
        raise ConfigError("model: the tokenizer has no end-of-sequence token, to end answers with")
    if tokenizer.pad_token_id in (None, image_id):
        tokenizer.pad_token = tokenizer.eos_token


def join(model: "PreTrainedModel", conversations: Conversations) -> None:
    """Tell a model its image token, and let it decode greedily."""
    image_id = conversations.tokenizer.convert_tokens_to_ids(conversations.image_token)
    model.config.image_token_id = image_id
    hide_image_token(model.get_input_embeddings(), image_id)
    model.generation_config = greedy(conversations, model.generation_config)


def hide_image_token(embedding: nn.Module, image_id: int) -> None:
    """Let an embedding give ``IMAGE_VALUE`` at image tokens, which may have no row.

    LLaVA's forward puts the image's features there. It finds the places by the token's id or, where
    prompt tuning hands it embeddings, by their values.
    """
    embedding.register_forward_pre_hook(functools.partial(_without_images, image_id))
    embedding.register_forward_hook(_with_images)


def _without_images(image_id: int, embedding: Any, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    ids, *rest = args
    embedding.images = ids == image_id
    return ids.masked_fill(embedding.images, 0), *rest


def _with_images(embedding: Any, _: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
    return embedded.masked_fill(embedding.__dict__.pop("images").unsqueeze(-1), IMAGE_VALUE)


def greedy(
    conversations: Conversations, inherited: "GenerationConfig | None"
) -> "GenerationConfig":
    """Greedy decoding as in scoring: of a model's own settings only the end tokens are kept.

    The image token is never chosen: where it has a row, nothing has trained it.
    """
    from transformers import GenerationConfig

    tokenizer = conversations.tokenizer
    own = getattr(inherited, "eos_token_id", None)
    ends = [] if own is None else torch.tensor(own).flatten().tolist()
    ends += [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(conversations.end)]
    ends = list(dict.fromkeys(int(end) for end in ends))
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=ends[0] if len(ends) == 1 else ends,
        suppress_tokens=[tokenizer.convert_tokens_to_ids(conversations.image_token)],
    )


def _template(
    config: ModelConfig,
    tokenizer: "PreTrainedTokenizerBase",
    processor: Any,
    image_token: str,
) -> ChatTemplate | None:
    if config.conversation != "chat_template":
        return None
    owner = tokenizer if processor is None else processor
    if not getattr(owner, "chat_template", None):
        raise ConfigError(
            "model.conversation is 'chat_template', but the model has no chat template; choose "
            "'vicuna_v1', 'llava_llama_2' or 'plain'"
        )
    return ChatTemplate(tokenizer, processor, image_token)
