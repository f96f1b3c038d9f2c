"""Reads conversations from annotations of every form, the unusable ones with the reason."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lnt_core.config import CAPTION_PROMPT, ColumnsConfig, DatasetConfig
from lnt_core.data.annotations import Annotations
from lnt_core.data.hub import image_root
from lnt_core.data.image_files import ImageFiles
from lnt_core.data.images import check_header
from lnt_core.data.kinds import of_kinds
from lnt_core.data.layouts import KarpathyFile, LlavaItem, karpathy_images
from lnt_core.data.messages import entry_of
from lnt_core.data.placeholders import with_images
from lnt_core.data.table import Row, Table, chosen_columns
from lnt_core.errors import DataError
from lnt_core.paths import is_within, shown

LLAVA_COLUMNS = ColumnsConfig(messages="conversations", images="image")
"""What makes a table of a file in LLaVA's layout."""


@dataclass(frozen=True)
class Found:
    """One conversation of the annotations, usable or not."""

    name: str
    """Where it is, for messages."""
    images: tuple[Path, ...] = ()
    turns: tuple[tuple[str, str], ...] = ()
    unusable: str = ""
    """Why it cannot be used; empty if it can."""
    system: str = ""


class Reader:
    """Reads one data set, and notes what it meets.

    Args:
        data: The data set.
        files: Where its images are.
    """

    def __init__(self, data: DatasetConfig, files: ImageFiles) -> None:
        self._data = data
        self._root = image_root(data)
        self._wanted = {data.split} if data.split else {"train", "restval"}
        self.files = files
        self.shortened: dict[str, list[str]] = {}
        """Names of conversations of which turns are left out, by what is left out."""
        self.splits: dict[str, None] = {}
        """The splits that the annotations have, as far as they were met."""

    def conversations(self, content: Annotations) -> Iterator[Found]:
        """Those of the split, or of the kinds, in order."""
        if isinstance(content, Table):
            return self._of_table(content)
        if isinstance(content, list):
            return self._of_llava(content)
        return self._of_karpathy(content)

    def _of_karpathy(self, content: KarpathyFile) -> Iterator[Found]:
        self.splits = dict.fromkeys(item["split"] for item in content["images"])
        for path, captions in karpathy_images(content, self._wanted):
            for number, caption in enumerate(captions, start=1):
                name = f"caption {number} of {shown(Path(path).name)}"
                images, turns = self.files.paths((path,), name), ((CAPTION_PROMPT, caption),)
                yield self._found(name, images, turns, image_first=True)

    def _of_llava(self, content: list[LlavaItem]) -> Iterator[Found]:
        places = {id(item): number for number, item in enumerate(content)}
        for item in of_kinds(content, self._data.kinds, Path(self._data.annotations).name):
            name = f"entry [{places[id(item)]}], id {shown(repr(item.get('id')))}"
            yield from self._of_row(Row(name, item), LLAVA_COLUMNS)

    def _of_table(self, table: Table) -> Iterator[Found]:
        columns = chosen_columns(table, self._data.columns)
        self.splits = dict.fromkeys(table.splits)
        has_splits = bool(table.splits or columns.split or self._data.split)
        for split, row in table.rows(columns.split, self._wanted if has_splits else None):
            self.splits |= {split: None} if split else {}
            if row.unusable or not has_splits or split in self._wanted:
                yield from self._of_row(row, columns)

    def _of_row(self, row: Row, columns: ColumnsConfig) -> Iterator[Found]:
        try:
            entry = entry_of(row.usable(), columns)
            images = self.files.paths(entry.images, row.name)
        except DataError as error:
            yield Found(row.name, unusable=str(error))
            return
        for what in entry.left_out:
            self.shortened.setdefault(what, []).append(row.name)
        several = len(entry.conversations) > 1
        for number, turns in enumerate(entry.conversations, start=1):
            name = f"answer {number} of {row.name}" if several else row.name
            found = self._found(name, images, turns, image_first=entry.image_first)
            yield replace(found, system=entry.system)

    def _found(
        self,
        name: str,
        images: tuple[Path, ...],
        turns: tuple[tuple[str, str], ...],
        *,
        image_first: bool,
    ) -> Found:
        """A conversation with its placeholders. Bad images are the check's to tell, all at once."""
        if not all(answer for _, answer in turns):
            return Found(name, unusable="an answer is blank")
        try:
            turns = with_images(turns, len(images), image_first=image_first)
        except DataError as error:
            return Found(name, unusable=str(error))
        if self._data.skip_bad and not self.files.within:
            reason = _image_problem(images, self._root)
            return Found(name, images, turns, reason)
        return Found(name, images, turns)


def _image_problem(images: tuple[Path, ...], root: Path) -> str:
    for path in images:
        if not is_within(path, root):
            return f"its image {shown(path)} is outside the folder"
        try:
            check_header(path)
        except DataError as error:
            return f"its image {error}"
    return ""
