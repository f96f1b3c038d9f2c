"""Checks, before anything starts, that all data files exist and are readable."""

from collections.abc import Sequence
from pathlib import Path

from lnt_core.config import CaptioningConfig, DataConfig, DatasetConfig, ModelConfig
from lnt_core.data.images import check_header, open_rgb
from lnt_core.data.layouts import is_karpathy, read_annotations, some
from lnt_core.data.samples import IMAGE, CaptionedImage, Sample, load_captioned, load_samples
from lnt_core.errors import DataError, bad_field
from lnt_core.paths import is_file, is_folder, is_within, shown

MAX_DECODED = 5000
"""Maximum number of images of a data set that are decoded completely (about 2 ms each). Of a
larger set an evenly spaced subset is decoded; of the other images only the header is read."""


def training_problems(model: ModelConfig, data: DataConfig) -> list[str]:
    """All problems with the files that a trial trains on; empty if there are none.

    Those of the tasks are found by ``lnt_core.evaluation.check``.
    """
    problems = []
    if model.tiny and not isinstance(model.tiny, bool):
        if model.tiny.text is not None:
            problems += _text_problems("model.tiny.text", model.tiny.text)
        if model.tiny.pairs is not None:
            problems += dataset_problems("model.tiny.pairs", model.tiny.pairs)
    if data.align is not None:
        problems += dataset_problems("data.align", data.align)
    if data.tune is not None:
        problems += dataset_problems("data.tune", data.tune)
    return problems


def _text_problems(field: str, path: str) -> list[str]:
    if not is_file(path):
        return [f"{field}: there is no file {shown(path)}"]
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        return [f"{field}: {shown(path)} cannot be read: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [f"{field}: {shown(path)} is not text in UTF-8: {error.reason} at {error.start}"]
    return [] if text.strip() else [f"{field}: {shown(path)} is empty"]


def _missing(field: str, data: DatasetConfig | CaptioningConfig) -> list[str]:
    problems = []
    if not is_file(data.annotations):
        problems.append(f"{field}.annotations: there is no file {shown(data.annotations)}")
    if not is_folder(data.images):
        problems.append(f"{field}.images: there is no folder {shown(data.images)}")
    return problems


def dataset_problems(field: str, data: DatasetConfig) -> list[str]:
    """All problems with a file of captions or conversations and its images."""
    if problems := _missing(field, data):
        return problems
    name = shown(data.annotations)
    try:
        content = read_annotations(data.annotations)
        if data.kinds and is_karpathy(content):
            return [
                f"{field}.kinds applies only to LLaVA's layout, but {name} has Karpathy's; leave "
                "it out"
            ]
        samples = load_samples(data.model_copy(update={"num_samples": None}), seed=0)
    except DataError as error:
        return [f"{field}.annotations: {error}"]
    if not samples and is_karpathy(content):
        splits = [item["split"] for item in content["images"]]
        return [_too_few(field, data.split or "train", splits)]
    if not samples:
        return [f"{field}.kinds: {name} has no samples of {', '.join(data.kinds)}"]
    if data.num_samples is not None and data.num_samples > len(samples):
        return [
            bad_field(f"{field}.num_samples", data.num_samples, allowed=f"at most {len(samples)}")
        ]
    images = [sample.image for sample in samples if sample.image is not None]
    return _placeholder_problems(field, samples) + image_problems(field, data.images, images)


def _placeholder_problems(field: str, samples: Sequence[Sample]) -> list[str]:
    """Conversations that name the image token elsewhere than before the first question."""
    texts = [[part for turn in sample.turns for part in turn] for sample in samples]
    found = [
        text
        for sample, (first, *rest) in zip(samples, texts, strict=True)
        for text in (first.removeprefix(IMAGE) if sample.image else first, *rest)
        if IMAGE in text
    ]
    if not found:
        return []
    return [
        f"{field}.annotations: {IMAGE!r} is the image token, which only a first question may "
        f"contain: {some([shown(repr(text)) for text in found])}"
    ]


def captioning_problems(field: str, select: CaptioningConfig) -> list[str]:
    """All problems with the files of a captioning task."""
    if problems := _missing(field, select):
        return problems
    try:
        content = read_annotations(select.annotations)
        used = {s: load_captioned(select, s) for s in (select.split, select.report_split) if s}
    except DataError as error:
        return [f"{field}.annotations: {error}"]
    assert is_karpathy(content)  # load_captioned has accepted it
    splits = [item["split"] for item in content["images"]]
    for split, items in used.items():
        if len(items) < 2:
            problems.append(_too_few(field, split, splits))
        problems += _reference_problems(field, split, items)
        problems += image_problems(field, select.images, [item.image for item in items])
    size = splits.count(select.split)
    if select.num_images is not None and 2 <= size < select.num_images:
        allowed = f"at most {size}, the size of split {shown(repr(select.split))}"
        problems.append(bad_field(f"{field}.num_images", select.num_images, allowed=allowed))
    examples = select.text_examples
    if examples and sum(s == "train" for s in splits) < examples:
        fix = "they are drawn from the split 'train', which has no more images"
        allowed = f"at most {splits.count('train')}"
        problems.append(bad_field(f"{field}.text_examples", examples, allowed=allowed, fix=fix))
    return problems


def _reference_problems(field: str, split: str, items: Sequence[CaptionedImage]) -> list[str]:
    """Images of which no caption has a word: they cannot be scored."""
    wordless = [
        f"{shown(item.image.name)} (number {number} of the split): {shown(repr(item.references))}"
        for number, item in enumerate(items, start=1)
        if not any(character.isalnum() for text in item.references for character in text)
    ]
    if not wordless:
        return []
    return [
        f"{field}.annotations: {_count(wordless)} of split {split!r} without a caption that has "
        f"a word, and so without a score: {some(wordless)}"
    ]


def _too_few(field: str, split: str, splits: Sequence[str]) -> str:
    known = [shown(repr(name)) for name in sorted(set(splits))]
    return (
        f"{field}: split {shown(repr(split))} has fewer than 2 images; the file's splits are "
        f"{some(known)}"
    )


def image_problems(field: str, folder: str, images: Sequence[Path]) -> list[str]:
    """Messages about images that are outside the folder, missing, or not decodable."""
    root = Path(folder).resolve()
    unique = list(dict.fromkeys(images))
    step = -(-len(unique) // MAX_DECODED)
    outside: list[str] = []
    missing: list[str] = []
    broken: list[str] = []
    for index, path in enumerate(unique):
        name = shown(path.relative_to(folder) if path.is_relative_to(folder) else path)
        if not is_within(path, root):
            outside.append(name)
        elif not is_file(path):
            missing.append(name)
        elif reason := _broken(path, whole=index % step == 0):
            broken.append(f"{name} ({reason})")
    return [
        f"{field}.images: {_count(names)} {what} {shown(folder)}: {some(names)}"
        for names, what in (
            (outside, "outside the folder"),
            (missing, "not in the folder"),
            (broken, "that cannot be decoded in"),
        )
        if names
    ]


def _broken(path: Path, *, whole: bool) -> str:
    """Why an image cannot be decoded; empty if it can."""
    try:
        if whole:
            open_rgb(path)
        else:
            check_header(path)
    except DataError as error:
        return str(error).removeprefix(f"{shown(path)} cannot be decoded: ")
    return ""


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} image" + ("s" if len(names) != 1 else "")
