"""Counts the samples that trials use: `max_length` may cut a conversation before its answer."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lnt_core.config import ModelConfig
from lnt_core.data.conversation import Conversations, ImageCutOffError
from lnt_core.data.encoding import may_lack_answer, may_lose_image
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.processed import ProcessedConversations
from lnt_core.data.samples import IMAGE, Sample
from lnt_core.models.build import load_conversations, most_image_tokens


@dataclass(frozen=True)
class Usable:
    """The samples of one stage, as a trial has them."""

    samples: list[Sample]
    """Those that have an answer left."""
    cut_off: list[Sample]
    """Those that have none."""
    without_image: list[Sample]
    """Of ``samples``, those that lose an image after an answer: a trial refuses them."""


def usable_samples(
    config: ModelConfig, samples: Sequence[Sample], *, max_length: int, sizes: ImageSizes
) -> Usable:
    """The samples that a trial uses, without the model's weights.

    The tokenizer is loaded only if some question is long enough. The tiny model has none before it
    is trained: its samples, which are short captions, are all taken to be usable.

    Args:
        config: The model.
        samples: The samples of a data set.
        max_length: To how many tokens they are cut.
        sizes: Those of their images, on which their tokens may depend.

    Raises:
        DataError: An image cannot be opened.
    """
    cut_off, without_image = _cut(config, samples, max_length, sizes)
    return Usable(
        [sample for index, sample in enumerate(samples) if index not in cut_off],
        [sample for index, sample in enumerate(samples) if index in cut_off],
        [samples[index] for index in sorted(without_image)],
    )


def with_own_image_token(config: ModelConfig, samples: Sequence[Sample]) -> tuple[str, list[str]]:
    """What a checkpoint writes for an image, and the names of samples that have it in their texts.

    Readers of data refuse ``<image>`` where no image is; what a checkpoint has in its place is
    known to its processor alone. Other models have ``<image>``.
    """
    if config.checkpoint is None:
        return IMAGE, []
    token = load_conversations(config).image_token
    if token == IMAGE:
        return token, []
    names = [
        sample.name
        for sample in samples
        if any(token in text for text in (sample.system, *itertools.chain(*sample.turns)))
    ]
    return token, names


def without_system(config: ModelConfig, samples: Sequence[Sample]) -> list[str]:
    """The names of samples whose system turn has no place in the model's conversations."""
    names = [sample.name for sample in samples if sample.system]
    if not names or (not config.tiny and load_conversations(config).takes_system):
        return []
    return names


def _cut(
    config: ModelConfig, samples: Sequence[Sample], max_length: int, sizes: ImageSizes
) -> tuple[set[int], set[int]]:
    """Indices of samples without an answer in their first ``max_length`` tokens; see above.

    And those of samples that have one, but an image beyond.
    """
    without_answer: set[int] = set()
    without_image: set[int] = set()
    if config.tiny:
        return without_answer, without_image
    conversations = load_conversations(config) if config.checkpoint is not None else None
    image_tokens = _image_tokens(config, conversations, samples, sizes)
    risky = [
        index
        for index, (sample, tokens) in enumerate(zip(samples, image_tokens, strict=True))
        if may_lack_answer(sample, max_length=max_length, image_tokens=tokens)
        or may_lose_image(sample, max_length=max_length, image_tokens=tokens)
    ]
    if not risky:
        return without_answer, without_image
    conversations = conversations or load_conversations(config)
    for index in risky:
        sample = samples[index]
        if conversations.sees_images:  # their content does not matter, and may not be there yet
            blank: Any = tuple(_blank(path, sizes) for path in sample.images)
            sample = replace(sample, images=blank)
        try:
            if not conversations.encode(sample, max_length=max_length).is_learnt:
                without_answer.add(index)
        except ImageCutOffError:
            without_image.add(index)
    return without_answer, without_image


def _image_tokens(
    config: ModelConfig,
    conversations: Conversations | None,
    samples: Sequence[Sample],
    sizes: ImageSizes,
) -> list[int]:
    """Of each sample, the tokens of all its images: exact where they depend on their sizes."""
    if not isinstance(conversations, ProcessedConversations):
        most = most_image_tokens(config)
        return [most * len(sample.images) for sample in samples]
    seen = list({sizes.of(path) for sample in samples for path in sample.images})
    tokens = dict(zip(seen, conversations.tokens_of(seen), strict=True))
    return [sum(tokens[sizes.of(path)] for path in sample.images) for sample in samples]


def _blank(path: Path, sizes: ImageSizes) -> Image.Image:
    height, width = sizes.of(path)
    return Image.new("RGB", (width, height))
