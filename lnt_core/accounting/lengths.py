"""Lengths of conversations in tokens: exact if they are encoded, else estimated from words."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lnt_core.accounting.answers import usable_samples
from lnt_core.config import DataConfig, ModelConfig, ScenesConfig, ShapesConfig
from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.samples import Sample, load_samples
from lnt_core.data.scene_questions import training_samples
from lnt_core.data.scenes import SAMPLES_PER_SCENE, draw_scene

TOKENS_PER_WORD = 1.4
"""Estimate for English under LLaMA's tokenizer, including what the conversation template adds."""
SAMPLED_SCENES = 50
"""Number of drawn scenes whose captions are measured."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of the conversations in the tune data, in tokens, image tokens included."""

    num_samples: int
    mean: float
    longest: int
    image_tokens: int
    """Most tokens of the images of one conversation; 0 if none has any."""
    longest_answer: int
    """Positions from the earliest answer of all conversations to the end of the longest one."""


def encoded_lengths(samples: Sequence[Encoded], *, image_id: int) -> Lengths:
    """Exact lengths of encoded conversations, in which ``image_id`` is the token of images."""
    lengths, answers, images = [], [], []
    for sample in samples:  # once, as each may be read from disk
        lengths.append(len(sample.input_ids))
        answers.append(next(i for i, t in enumerate(sample.labels) if t != IGNORE))
        images.append(sample.input_ids.count(image_id))
    return Lengths(
        num_samples=len(samples),
        mean=sum(lengths) / len(lengths),
        longest=max(lengths),
        image_tokens=max(images),
        longest_answer=max(lengths) - min(answers),
    )


def estimated_lengths(
    data: DataConfig,
    model: ModelConfig,
    *,
    image_tokens: int,
    max_length: int,
    seed: int,
    files: bool,
) -> Lengths:
    """Estimate lengths from the words of the tune data, or take them from ``shapes``.

    Args:
        data: The data config.
        model: Its tokenizer tells which samples have no answer left within ``max_length``; its
            `shapes` are assumed without files.
        image_tokens: Tokens of one image.
        max_length: Number of tokens to which conversations are truncated.
        seed: Seed by which a subset of the data is drawn.
        files: Whether the data files may be read.
    """
    if data.scenes is not None:
        samples = _scene_samples(data.scenes)
        count = data.scenes.num_train * SAMPLES_PER_SCENE
    elif files:
        assert data.tune is not None
        sizes = ImageSizes(data.opening)
        read = load_samples(data.tune, seed=seed, keep=sizes.keep(data.tune))
        usable = usable_samples(model, read, max_length=max_length, sizes=sizes)
        samples = usable.samples or usable.cut_off  # then the check refuses
        count = len(samples)
    else:
        shapes = model.shapes or ShapesConfig(language={}, vision={})
        longest = min(shapes.longest_sample, max_length)
        subset = data.tune.num_samples if data.tune else None
        return Lengths(
            min(shapes.num_samples, subset or shapes.num_samples),
            min(shapes.tokens_per_sample, max_length),
            longest,
            image_tokens,
            longest - image_tokens,
        )
    return _of_words(samples, count, image_tokens=image_tokens, max_length=max_length)


def _scene_samples(scenes: ScenesConfig) -> list[Sample]:
    rng = random.Random(scenes.seed)
    drawn = [draw_scene(rng)[1] for _ in range(SAMPLED_SCENES)]
    if scenes.asks:
        pairs = [pair for scene in drawn for pair in training_samples(scene, rng)]
    else:
        pairs = [("", caption) for scene in drawn for caption in scene.captions]
    return [Sample((Path("drawn"),), (pair,)) for pair in pairs]


def _of_words(
    samples: Sequence[Sample], count: int, *, image_tokens: int, max_length: int
) -> Lengths:
    def tokens(text: str) -> float:
        return TOKENS_PER_WORD * len(text.split())

    text = [sum(tokens(q) + tokens(a) for q, a in sample.turns) for sample in samples]
    questions = [tokens(sample.turns[0][0]) for sample in samples]
    images = [image_tokens * len(sample.images) for sample in samples]
    lengths = [min(sum(parts), max_length) for parts in zip(images, text, strict=True)]
    longest = max(lengths)
    return Lengths(
        num_samples=count,
        mean=sum(lengths) / len(lengths),
        longest=round(longest),
        image_tokens=max(images),
        longest_answer=max(1, round(longest - max(images) - min(questions))),
    )
