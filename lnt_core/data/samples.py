"""Readers of the published layouts: Karpathy captions and LLaVA instructions."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lnt_core.config import CAPTION_PROMPT, DatasetConfig, SelectConfig
from lnt_core.data.kinds import of_kinds
from lnt_core.data.layouts import KarpathyFile, LlavaItem, is_karpathy, read_annotations
from lnt_core.errors import DataError
from lnt_core.paths import shown
from lnt_core.seeding import generator

IMAGE = "<image>"
"""Placeholder of the image in a question, as in LLaVA's files."""


@dataclass(frozen=True)
class Sample:
    """One conversation, with one image or none."""

    image: Path | None
    turns: tuple[tuple[str, str], ...]
    """Questions and answers in order; with an image, the first question starts with ``<image>``."""


@dataclass(frozen=True)
class CaptionedImage:
    """One image of a captioning task, with its reference captions."""

    image: Path
    references: tuple[str, ...]


def load_samples(data: DatasetConfig, *, seed: int) -> list[Sample]:
    """The samples of a training data set, in the file's order; every caption is one sample.

    Raises:
        DataError: The file cannot be read, or has neither of the two layouts.
    """
    content = read_annotations(data.annotations)
    if is_karpathy(content):
        splits = {data.split} if data.split else {"train", "restval"}
        samples = [
            Sample(item.image, ((f"{IMAGE}\n{CAPTION_PROMPT}", caption),))
            for item in _karpathy_items(content, data.images, splits)
            for caption in item.references
        ]
    else:
        chosen_items = of_kinds(content, data.kinds, Path(data.annotations).name)
        samples = [_llava_sample(item, data.images) for item in chosen_items]
    if data.num_samples is not None and data.num_samples < len(samples):
        chosen = torch.randperm(len(samples), generator=generator("subset", seed))
        samples = [samples[i] for i in sorted(chosen[: data.num_samples].tolist())]
    return samples


def load_captioned(select: SelectConfig, split: str) -> list[CaptionedImage]:
    """The images of one split of a captioning task, in the file's order.

    Raises:
        DataError: The file cannot be read, or is not in Karpathy's layout.
    """
    content = read_annotations(select.annotations)
    if not is_karpathy(content):
        raise DataError(f"{shown(select.annotations)} has LLaVA's layout, but must have Karpathy's")
    items = _karpathy_items(content, select.images, {split})
    return items[: select.num_images]


def _karpathy_items(content: KarpathyFile, images: str, splits: set[str]) -> list[CaptionedImage]:
    return [
        CaptionedImage(
            Path(images, item.get("filepath", ""), item["filename"]),
            tuple(sentence["raw"].strip() for sentence in item["sentences"]),
        )
        for item in content["images"]
        if item["split"] in splits
    ]


def _llava_sample(item: LlavaItem, images: str) -> Sample:
    said = [turn["value"].strip() for turn in item["conversations"]]
    speakers = [turn["from"] for turn in item["conversations"]]
    if speakers != ["human", "gpt"] * (len(said) // 2) or not said:
        raise DataError(
            f"conversation {shown(repr(item.get('id')))} must alternate human, gpt; its turns are "
            f"{shown(repr(speakers))}"
        )
    file_name = item.get("image")
    first = said[0].replace(IMAGE, "").strip()
    said[0] = f"{IMAGE}\n{first}" if file_name else first
    image = Path(images, file_name) if file_name else None
    return Sample(image, tuple(zip(said[::2], said[1::2], strict=True)))
