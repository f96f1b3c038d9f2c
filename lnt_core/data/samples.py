"""Readers of the published layouts: Karpathy captions and LLaVA instructions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lnt_core.config import CAPTION_PROMPT, CaptioningConfig, DatasetConfig
from lnt_core.data.images import check_header
from lnt_core.data.kinds import of_kinds
from lnt_core.data.layouts import KarpathyFile, LlavaItem, is_karpathy, read_annotations, some
from lnt_core.data.turns import turns_of
from lnt_core.errors import DataError
from lnt_core.paths import is_within, shown

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


@dataclass(frozen=True)
class Read:
    """The samples of a training data set, and what was left out of them."""

    samples: tuple[Sample, ...]
    left_out: tuple[str, ...]
    """Samples that are left out, each with the reason; at most `skip_bad`."""
    shortened: dict[str, tuple[str, ...]]
    """Names of conversations of which turns are left out, by what is left out."""


def load_samples(data: DatasetConfig, *, seed: int) -> list[Sample]:
    """The samples of a training data set, in the file's order; every caption is one sample.

    Raises:
        DataError: The file cannot be read, has neither of the two layouts, or has more unusable
            samples than `skip_bad`.
    """
    return drawn(read_samples(data), data, seed=seed)


def drawn(read: Read, data: DatasetConfig, *, seed: int) -> list[Sample]:
    """The `num_samples` of a data set that are drawn with ``seed``; all of them by default."""
    samples = list(read.samples)
    if data.num_samples is not None and data.num_samples < len(samples):
        import torch  # which takes a second, and is needed here alone

        from lnt_core.seeding import generator

        chosen = torch.randperm(len(samples), generator=generator("subset", seed))
        samples = [samples[i] for i in sorted(chosen[: data.num_samples].tolist())]
    return samples


def read_samples(data: DatasetConfig) -> Read:
    """All samples of the selected split or kinds, before `num_samples` are drawn.

    Raises:
        DataError: As for :func:`load_samples`.
    """
    content = read_annotations(data.annotations)
    shortened: dict[str, list[str]] = {}
    if is_karpathy(content):
        found = _captions(content, data)
    else:
        found = _conversations(content, data, shortened)
    samples, bad = [], []
    for name, sample, reason in found:
        if not reason and data.skip_bad and sample.image is not None:
            reason = _image_problem(sample.image, data.images)
        if reason:
            bad.append(f"{name}: {reason}")
        else:
            samples.append(sample)
    if len(bad) > data.skip_bad:
        raise DataError(
            f"{shown(data.annotations)}: {len(bad)} of {len(samples) + len(bad)} samples cannot be "
            f"used: {some(bad, '; ')}. Mend them, or leave them out with `skip_bad: {len(bad)}`"
        )
    names = {what: tuple(listed) for what, listed in shortened.items()}
    return Read(tuple(samples), tuple(bad), names)


Found = Iterator[tuple[str, Sample, str]]
"""Name of a sample, the sample, and why it cannot be used."""


def _captions(content: KarpathyFile, data: DatasetConfig) -> Found:
    splits = {data.split} if data.split else {"train", "restval"}
    for item in _karpathy_items(content, data.images, splits):
        for number, caption in enumerate(item.references, start=1):
            name = f"caption {number} of {shown(item.image.name)}"
            sample = Sample(item.image, ((f"{IMAGE}\n{CAPTION_PROMPT}", caption),))
            yield name, sample, "" if caption else "it is blank"


def _conversations(
    content: list[LlavaItem], data: DatasetConfig, shortened: dict[str, list[str]]
) -> Found:
    places = {id(item): number for number, item in enumerate(content)}
    for item in of_kinds(content, data.kinds, Path(data.annotations).name):
        name = f"entry [{places[id(item)]}], id {shown(repr(item.get('id')))}"
        read = turns_of(item)
        for what in read.left_out if not read.unusable else ():
            shortened.setdefault(what, []).append(name)
        yield name, _sample(read.turns, item.get("image"), data.images), read.unusable


def _sample(turns: tuple[tuple[str, str], ...], image: str | None, folder: str) -> Sample:
    if not turns:
        return Sample(None, ())
    (first, answer), *later = turns
    question = first.replace(IMAGE, "").strip()
    asked = f"{IMAGE}\n{question}" if image else question
    return Sample(Path(folder, image) if image else None, ((asked, answer), *later))


def _image_problem(path: Path, folder: str) -> str:
    if not is_within(path, Path(folder).resolve()):
        return f"its image {shown(path)} is outside the folder"
    try:
        check_header(path)
    except DataError as error:
        return f"its image {error}"
    return ""


def load_captioned(select: CaptioningConfig, split: str) -> list[CaptionedImage]:
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
