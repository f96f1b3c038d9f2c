"""Checks, before anything starts, that all data files exist and are readable."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lnt_core.config import CaptioningConfig, DataConfig, DatasetConfig, FilesConfig, ModelConfig
from lnt_core.data.annotations import are_here
from lnt_core.data.captioned import CaptionedImage, read_captioned
from lnt_core.data.hub import absent, image_folder, image_root
from lnt_core.data.images import check_header, open_rgb
from lnt_core.data.layouts import some
from lnt_core.data.samples import read_samples
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


def _missing(field: str, data: FilesConfig) -> list[str]:
    problems = []
    if not are_here(data):
        problems.append(f"{field}.annotations: {absent(data)}")
    if data.images is not None and not is_folder(data.images):
        problems.append(f"{field}.images: there is no folder {shown(data.images)}")
    return problems


def dataset_problems(field: str, data: DatasetConfig) -> list[str]:
    """All problems with a file of captions or conversations and its images."""
    if problems := _missing(field, data):
        return problems
    name = shown(data.annotations)
    within = WithinCheck()
    try:
        read = read_samples(data, keep=within.check)
    except DataError as error:
        return [f"{field}.annotations: {error}"]
    samples = read.samples
    if not samples and read.splits:
        return [_too_few(field, data.split or "train", read.splits)]
    if not samples:
        of_kinds = f" of {', '.join(data.kinds)}" if data.kinds else ""
        return [
            f"{field}.{'kinds' if data.kinds else 'annotations'}: {name} has no samples{of_kinds}"
        ]
    if data.num_samples is not None and data.num_samples > len(samples):
        return [
            bad_field(f"{field}.num_samples", data.num_samples, allowed=f"at most {len(samples)}")
        ]
    if read.images_within:
        return within.problems(field)
    rows: dict[Path, str] = {}
    for sample in samples:
        for path in sample.images:
            rows.setdefault(path, sample.name)
    folder, root = image_folder(data), image_root(data)
    return image_problems(field, folder, list(rows), root=root, rows=rows)


def captioning_problems(field: str, select: CaptioningConfig) -> list[str]:
    """All problems with the files of a captioning task."""
    if problems := _missing(field, select):
        return problems
    within = WithinCheck()
    try:
        captions = read_captioned(select, select.splits, keep=within.check)
    except DataError as error:
        return [f"{field}.annotations: {error}"]
    for split in filter(None, (select.split, select.report_split)):
        items = captions.of_split[split][: select.num_images]
        if len(items) < 2:
            problems.append(_too_few(field, split, captions.splits))
        problems += _reference_problems(field, split, items)
        if not captions.images_within:
            images = [item.image for item in items]
            folder, root = image_folder(select), image_root(select)
            problems += image_problems(field, folder, images, root=root)
    problems += within.problems(field)
    size = len(captions.of_split[select.split])
    if select.num_images is not None and 2 <= size < select.num_images:
        allowed = f"at most {size}, the size of split {shown(repr(select.split))}"
        problems.append(bad_field(f"{field}.num_images", select.num_images, allowed=allowed))
    examples, train = select.text_examples, len(captions.of_split.get("train", ()))
    if train < examples:
        fix = "they are drawn from the split 'train', which has no more images"
        allowed = f"at most {train}"
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
    known = [shown(repr(name)) for name in sorted(splits)]
    return (
        f"{field}: split {shown(repr(split))} has fewer than 2 images; the file's splits are "
        f"{some(known)}"
    )


def image_problems(
    field: str,
    folder: str,
    images: Sequence[Path],
    *,
    root: Path | None = None,
    rows: Mapping[Path, str] | None = None,
) -> list[str]:
    """Messages about images that are outside the folder, missing, or not decodable.

    Args:
        field: The key of the data set.
        folder: The folder that names of images are relative to.
        images: Paths of images.
        root: The resolved folder that they must be in once links are followed; by default
            ``folder``.
        rows: Where in the annotations each image is met first.
    """
    root = root or Path(folder).resolve()
    unique = list(dict.fromkeys(images))
    step = -(-len(unique) // MAX_DECODED)
    outside: list[str] = []
    missing: list[str] = []
    broken: list[str] = []
    for index, path in enumerate(unique):
        name = shown(path.relative_to(folder) if path.is_relative_to(folder) else path)
        row = (rows or {}).get(path, name)
        if Path(name).name not in row:  # a caption's row has the name of its image
            name = f"{name} of {row}"
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


class WithinCheck:
    """Decodes the images that are within annotations, the first ``MAX_DECODED`` of them.

    The headers of all of them are read with the annotations.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._broken: list[str] = []

    def check(self, name: str, content: bytes, row: str) -> None:
        """Decode an image of a row, unless the same one was met before."""
        if name in self._seen or len(self._seen) == MAX_DECODED:
            return
        self._seen.add(name)
        try:
            open_rgb(content)
        except DataError as error:
            self._broken.append(f"that of {row} ({str(error).partition(': ')[2]})")

    def problems(self, field: str) -> list[str]:
        """A message about those that cannot be decoded, if there are any."""
        if not self._broken:
            return []
        count = _count(self._broken)
        return [f"{field}.annotations: {count} that cannot be decoded: {some(self._broken)}"]


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
