"""The images of a captioning task with their reference captions."""

from dataclasses import dataclass
from pathlib import Path

from lnt_core.config import CaptioningConfig
from lnt_core.data.annotations import read_annotations
from lnt_core.data.hub import image_folder
from lnt_core.data.image_files import ImageFiles, Keep
from lnt_core.data.layouts import karpathy_images, some
from lnt_core.data.messages import images_of, texts_of
from lnt_core.data.table import Row, Table, chosen_columns
from lnt_core.errors import DataError
from lnt_core.paths import shown


@dataclass(frozen=True)
class CaptionedImage:
    """One image of a captioning task, with its reference captions."""

    image: Path
    references: tuple[str, ...]


@dataclass(frozen=True)
class Captions:
    """The images of some splits of a captioning task."""

    of_split: dict[str, list[CaptionedImage]]
    """Those of each split that was asked for, in order."""
    splits: tuple[str, ...]
    """The splits that the annotations have."""
    images_within: bool
    """Whether the images are within the annotations, and so not in files yet."""


def load_captioned(select: CaptioningConfig, split: str) -> list[CaptionedImage]:
    """The images of one split of a captioning task, in the file's order.

    Raises:
        DataError: As for :func:`read_captioned`.
    """
    return read_captioned(select, {split}).of_split[split][: select.num_images]


def read_captioned(
    select: CaptioningConfig, splits: set[str], *, keep: Keep | None = None
) -> Captions:
    """All images of some splits of a captioning task.

    In a table each row has one image with one or more captions; an image in several rows has the
    captions of all of them.

    Args:
        select: The task.
        splits: Names of splits; one that is not there has no images.
        keep: Called with every image that is within the annotations.

    Raises:
        DataError: The annotations cannot be read, or do not hold captions of images.
    """
    content = read_annotations(select)
    if isinstance(content, list):
        raise DataError(
            f"{shown(select.annotations)} has LLaVA's layout, but must have Karpathy's, or be a "
            "table"
        )
    folder = image_folder(select)
    if isinstance(content, Table):
        return _of_table(content, select, splits, ImageFiles(folder, keep))
    of_split: dict[str, list[CaptionedImage]] = {split: [] for split in splits}
    for split, items in of_split.items():
        items += [
            CaptionedImage(Path(folder, path), captions)
            for path, captions in karpathy_images(content, {split})
        ]
    known = dict.fromkeys(item["split"] for item in content["images"])
    return Captions(of_split, tuple(known), images_within=False)


def _of_table(
    table: Table, select: CaptioningConfig, splits: set[str], files: ImageFiles
) -> Captions:
    columns = chosen_columns(table, select.columns)
    if columns.answer is None or columns.images is None or columns.question is not None:
        raise DataError(
            "captions are read from `columns: {image: ..., answer: ...}`; the columns of "
            f"{table.name} are {table.known_columns}"
        )
    known = dict.fromkeys(table.splits)
    of_split: dict[str, dict[Path, tuple[str, ...]]] = {split: {} for split in splits}
    bad = []
    for split, row in table.rows(columns.split, splits):
        known[split] = None
        if split not in splits and not row.unusable:
            continue
        try:
            image, references = _captioned(row, columns.images, columns.answer, files)
        except DataError as error:
            bad.append(f"{row.name}: {error}")
            continue
        found = of_split[split]
        found[image] = found.get(image, ()) + references
    if bad:
        raise DataError(
            f"{table.name}: {len(bad)} rows cannot be used: {some(bad, '; ')}; mend them"
        )
    items = {
        split: [CaptionedImage(image, references) for image, references in found.items()]
        for split, found in of_split.items()
    }
    return Captions(items, tuple(filter(None, known)), images_within=bool(files.within))


def _captioned(
    row: Row, image_column: str, answer_column: str, files: ImageFiles
) -> tuple[Path, tuple[str, ...]]:
    values = row.usable()
    images = images_of(values.get(image_column))
    if len(images) != 1:
        raise DataError(f"it has {len(images)} images, but captions are of one")
    captions = texts_of(values, answer_column)
    if not captions:
        raise DataError("it has no caption")
    (path,) = files.paths(images, row.name)
    return path, captions
