"""Tables: rows of named columns, as JSON lines have them, parquet files and `datasets`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from lnt_core.config import ColumnsConfig
from lnt_core.data.layouts import some
from lnt_core.errors import DataError
from lnt_core.paths import shown

MESSAGES = ("messages", "conversations")
"""Columns of conversations that need not be named."""
IMAGES = ("images", "image")
"""Columns of their images that need not be named."""


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    name: str
    """Where it is, for messages: ``line 3``."""
    values: Mapping[str, Any]
    unusable: str = ""
    """Why it has no values; empty if it has."""

    def usable(self) -> Mapping[str, Any]:
        """Its values.

        Raises:
            DataError: It has none.
        """
        if self.unusable:
            raise DataError(self.unusable)
        return self.values


@dataclass(frozen=True)
class Table:
    """A table, whose rows may be read more than once."""

    name: str
    """The file or data set, for messages."""
    columns: tuple[str, ...]
    parts: Mapping[str, Callable[[], Iterable[Row]]]
    """The rows by split; under the empty name if there are no splits."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of its splits; none if a column has them, or it has none."""
        return tuple(filter(None, self.parts))

    @property
    def known_columns(self) -> str:
        """The columns, for messages."""
        return shown(", ".join(self.columns)) or "none"

    def rows(self, split_column: str | None, splits: set[str] | None) -> Iterator[tuple[str, Row]]:
        """Rows, each with the name of its split, which is empty if there is none.

        Args:
            split_column: The column with the names of splits, if there is one; then all rows are
                given, for the caller to choose from.
            splits: Without such a column, the splits whose rows are given; None for all.

        Raises:
            DataError: There is none of these splits.
        """
        if split_column is None and splits is not None:
            self._check_splits(splits)
        for part, rows in self.parts.items():
            if split_column is None and splits is not None and part not in splits:
                continue
            for row in rows():
                split = part if split_column is None else row.values.get(split_column)
                yield split if isinstance(split, str) else "", row

    def _check_splits(self, splits: set[str]) -> None:
        wanted = ", ".join(shown(repr(name)) for name in sorted(splits))
        if not self.splits:
            raise DataError(
                f"{self.name} is one table without splits, but {wanted} is asked for: name the "
                "column that has the names of splits (`columns: {split: ...}`)"
            )
        if not splits & set(self.splits):
            known = some([shown(repr(name)) for name in self.splits])
            raise DataError(f"{self.name} has no split {wanted}; its splits are {known}")


def lines_table(name: str, content: bytes) -> Table:
    """A table of JSON lines; blank lines are skipped, and every other one is a row.

    Args:
        name: The file, for messages.
        content: What it holds.
    """
    lines = enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1)
    return objects_table(
        name, [(f"line {number}", _parsed(line)) for number, line in lines if line.strip()]
    )


def objects_table(name: str, named: Iterable[tuple[str, Any]]) -> Table:
    """A table of JSON values; those that are no objects are unusable rows.

    Args:
        name: The file, for messages.
        named: The values, each with its place.

    Raises:
        DataError: There is none.
    """
    rows = [_row(place, value) for place, value in named]
    if not rows:
        raise DataError(f"{name} is empty: it has no row")
    columns = dict.fromkeys(key for row in rows for key in row.values)
    return Table(name, tuple(columns), {"": lambda: rows})


def _parsed(line: bytes) -> Any:
    try:
        return from_json(line)
    except ValueError as error:
        return DataError(f"it is not JSON: {error}")


def _row(place: str, value: Any) -> Row:
    if isinstance(value, dict):
        return Row(place, value)
    if isinstance(value, DataError):
        return Row(place, {}, str(value))
    return Row(place, {}, f"it is {shown(repr(value)[:1000])}, but must be an object")


def chosen_columns(table: Table, given: ColumnsConfig | None) -> ColumnsConfig:
    """The columns to read: those that are given, and `messages` and their images by default.

    Raises:
        DataError: The table does not have them; the message names the columns that it has.
    """
    given = given or ColumnsConfig()
    known = f"its columns are {table.known_columns}"
    named = {key: name for key, name in given.model_dump().items() if name is not None}
    if absent := [f"{name!r} (columns.{k})" for k, name in named.items() if not _has(table, name)]:
        raise DataError(f"{table.name} has no column {', '.join(absent)}; {known}")
    images = given.image or given.images
    if given.answer is not None:
        return given.model_copy(update={"images": images})
    messages = given.messages or next((name for name in MESSAGES if _has(table, name)), None)
    if messages is None:
        raise DataError(
            f"{table.name} has no column {' or '.join(MESSAGES)}; {known}. Name those of questions "
            "and answers: `columns: {image: ..., question: ..., answer: ...}`"
        )
    images = images or next((name for name in IMAGES if _has(table, name)), None)
    return given.model_copy(update={"messages": messages, "images": images})


def _has(table: Table, column: str) -> bool:
    return column in table.columns
