"""Checks, before anything starts, that all data files exist and are readable."""

from pathlib import Path

from PIL import Image

from lnt_core.config import DataConfig, DatasetConfig, ModelConfig, SelectConfig
from lnt_core.data.samples import (
    is_karpathy,
    is_llava,
    load_captioned,
    load_samples,
    read_json,
    unknown_layout,
)
from lnt_core.errors import DataError, bad_field

MAX_DECODED = 5000
"""Maximum number of images of a data set that are decoded completely (about 2 ms each). Of a
larger set an evenly spaced subset is decoded; of the other images only the header is read."""
MAX_NAMED = 5
"""Maximum number of bad images named in a message; the rest are only counted."""


def data_problems(model: ModelConfig, data: DataConfig) -> list[str]:
    """All problems with the files that a trial would read; empty if there are none."""
    problems = []
    if model.tiny and not isinstance(model.tiny, bool):
        tiny = model.tiny
        if tiny.text is not None and not Path(tiny.text).is_file():
            problems.append(f"model.tiny.text: there is no file {tiny.text}")
        if tiny.pairs is not None:
            problems += _dataset_problems("model.tiny.pairs", tiny.pairs)
    return problems + _stage_problems(data)


def _stage_problems(data: DataConfig) -> list[str]:
    problems = []
    if data.align is not None:
        problems += _dataset_problems("data.align", data.align)
    if data.tune is not None:
        problems += _dataset_problems("data.tune", data.tune)
    if data.select is not None:
        problems += _select_problems("data.select", data.select)
    return problems


def _missing(field: str, data: DatasetConfig | SelectConfig) -> list[str]:
    problems = []
    if not Path(data.annotations).is_file():
        problems.append(f"{field}.annotations: there is no file {data.annotations}")
    if not Path(data.images).is_dir():
        problems.append(f"{field}.images: there is no folder {data.images}")
    return problems


def _dataset_problems(field: str, data: DatasetConfig) -> list[str]:
    if problems := _missing(field, data):
        return problems
    try:
        content = read_json(data.annotations)
        if not is_karpathy(content) and not is_llava(content):
            return [f"{field}.annotations: {unknown_layout(data.annotations)}"]
        if data.kinds and is_karpathy(content):
            return [
                f"{field}.kinds applies only to LLaVA's layout, but {data.annotations} has "
                "Karpathy's; leave it out"
            ]
        samples = load_samples(data.model_copy(update={"num_samples": None}), seed=0)
    except DataError as error:
        return [f"{field}.annotations: {error}"]
    if not samples and data.kinds:
        return [f"{field}.kinds: {data.annotations} has no samples of {', '.join(data.kinds)}"]
    if not samples:
        return [_no_images(field, data.split or "train", content)]
    if data.num_samples is not None and data.num_samples > len(samples):
        return [
            bad_field(f"{field}.num_samples", data.num_samples, allowed=f"at most {len(samples)}")
        ]
    images = [sample.image for sample in samples if sample.image is not None]
    return image_problems(field, data.images, images)


def _select_problems(field: str, select: SelectConfig) -> list[str]:
    if problems := _missing(field, select):
        return problems
    try:
        content = read_json(select.annotations)
    except DataError as error:
        return [f"{field}.annotations: {error}"]
    if not is_karpathy(content):
        return [f"{field}.annotations: {unknown_layout(select.annotations)}"]
    for split in filter(None, (select.split, select.report_split)):
        items = load_captioned(select, split)
        if len(items) < 2:
            problems.append(_no_images(field, split, content))
        problems += image_problems(field, select.images, [item.image for item in items])
    return problems


def _no_images(field: str, split: str, content: object) -> str:
    assert isinstance(content, dict)
    splits = sorted({item["split"] for item in content["images"]})
    return f"{field}: split {split!r} has fewer than 2 images; the file's splits are " + ", ".join(
        map(repr, splits)
    )


def image_problems(field: str, folder: str, images: list[Path]) -> list[str]:
    """Messages about images that are outside the folder, missing, or not decodable."""
    root = Path(folder).resolve()
    unique = list(dict.fromkeys(images))
    step = -(-len(unique) // MAX_DECODED)
    outside: list[str] = []
    missing: list[str] = []
    broken: list[str] = []
    for index, path in enumerate(unique):
        name = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
        if not path.resolve().is_relative_to(root):
            outside.append(name)
        elif not path.is_file():
            missing.append(name)
        elif not _decodes(path, whole=index % step == 0):
            broken.append(name)
    return [
        f"{field}.images: {_count(names)} {what} {folder}: {_some(names)}"
        for names, what in (
            (outside, "outside the folder"),
            (missing, "not in the folder"),
            (broken, "that cannot be decoded in"),
        )
        if names
    ]


def _decodes(path: Path, *, whole: bool) -> bool:
    try:
        with Image.open(path) as image:
            if whole:
                image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def _count(names: list[str]) -> str:
    return f"{len(names)} image" + ("s" if len(names) != 1 else "")


def _some(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
