"""Readers of the published layouts: Karpathy captions and LLaVA instructions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lnt_core.config import CAPTION_PROMPT, DatasetConfig, SelectConfig
from lnt_core.data.kinds import of_kinds
from lnt_core.errors import ConfigError, DataError
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
        ConfigError: The file has neither of the two layouts.
    """
    content = read_json(data.annotations)
    if is_karpathy(content):
        splits = {data.split} if data.split else {"train", "restval"}
        samples = [
            Sample(item.image, ((f"{IMAGE}\n{CAPTION_PROMPT}", caption),))
            for item in _karpathy_items(content, data.images, splits)
            for caption in item.references
        ]
    elif is_llava(content):
        chosen_items = of_kinds(content, data.kinds, Path(data.annotations).name)
        samples = [_llava_sample(item, data.images) for item in chosen_items]
    else:
        raise ConfigError(unknown_layout(data.annotations))
    if data.num_samples is not None and data.num_samples < len(samples):
        chosen = torch.randperm(len(samples), generator=generator("subset", seed))
        samples = [samples[i] for i in sorted(chosen[: data.num_samples].tolist())]
    return samples


def load_captioned(select: SelectConfig, split: str) -> list[CaptionedImage]:
    """The images of one split of a captioning task, in the file's order."""
    items = _karpathy_items(read_json(select.annotations), select.images, {split})
    return items[: select.num_images]


def read_json(path: str) -> Any:
    """The parsed content of a JSON file; raises DataError if it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error


def is_karpathy(content: Any) -> bool:
    """Whether it is ``{"images": [{"filename", "split", "sentences": [{"raw"}]}]}``."""
    images: Any = content.get("images") if isinstance(content, dict) else []
    return bool(images) and all(
        isinstance(item, dict)
        and isinstance(item.get("filename"), str)
        and isinstance(item.get("split"), str)
        and _all_texts(item.get("sentences"), "raw")
        for item in images
    )


def is_llava(content: Any) -> bool:
    """Whether it is ``[{"id", "image", "conversations": [{"from", "value"}]}]``."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(item, dict)
            and item.get("conversations")
            and _all_texts(item["conversations"], "from", "value")
            for item in content
        )
    )


def _all_texts(listed: Any, *keys: str) -> bool:
    return isinstance(listed, list) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in keys)
        for entry in listed
    )


def unknown_layout(path: str) -> str:
    """Error message for a file with neither layout."""
    return (
        f"{path} has neither of the known layouts: Karpathy's "
        '{"images": [{"filename", "split", "sentences"}]} '
        'nor LLaVA\'s [{"image", "conversations"}]'
    )


def _karpathy_items(content: Any, images: str, splits: set[str]) -> list[CaptionedImage]:
    return [
        CaptionedImage(
            Path(images, item.get("filepath", ""), item["filename"]),
            tuple(sentence["raw"].strip() for sentence in item["sentences"]),
        )
        for item in content["images"]
        if item["split"] in splits
    ]


def _llava_sample(item: dict[str, Any], images: str) -> Sample:
    said = [turn["value"].strip() for turn in item["conversations"]]
    speakers = [turn["from"] for turn in item["conversations"]]
    if speakers != ["human", "gpt"] * (len(said) // 2) or not said:
        raise DataError(
            f"conversation {item.get('id')!r} must alternate human, gpt; its turns are {speakers}"
        )
    image = Path(images, item["image"]) if item.get("image") else None
    first = said[0].replace(IMAGE, "").strip()
    said[0] = f"{IMAGE}\n{first}" if image else first
    return Sample(image, tuple(zip(said[::2], said[1::2], strict=True)))
