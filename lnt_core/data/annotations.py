"""Reads annotations of any known form, which is told from their content."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from lnt_core.config import FilesConfig
from lnt_core.data.hub import PARQUET, data_place, dataset_table, hub_folder
from lnt_core.data.layouts import KARPATHY, LLAVA, KarpathyFile, LlavaItem, karpathy, llava
from lnt_core.data.table import MESSAGES, Table, lines_table, objects_table
from lnt_core.errors import DataError
from lnt_core.paths import is_file, is_folder, shown

Annotations = KarpathyFile | list[LlavaItem] | Table
LINES = (".jsonl", ".ndjson")
"""Endings of files that hold JSON lines whatever the first of them is."""


def read_annotations(data: FilesConfig) -> Annotations:
    """The annotations of a data set; of the rows of a table nothing is checked yet.

    Raises:
        DataError: They cannot be read, or are of no known form. If they have Karpathy's or LLaVA's
            layout the message names the entries that differ.
    """
    name = shown(data.annotations)
    if data.on_hub is not None or is_folder(data.annotations):
        return dataset_table(data)
    if data.subset is not None:
        raise DataError(
            f"`subset` is for a folder or a data set of the Hub, but {name} is a single file; "
            "leave it out"
        )
    if _begins_with(data.annotations, PARQUET):
        return dataset_table(data)
    content = _bytes(data.annotations)
    if data.annotations.endswith(LINES) or _is_lines(content):
        return lines_table(name, content)
    return _of_json(data, _parsed(name, content))


def has_images_within(data: FilesConfig) -> bool:
    """Whether images may be within the annotations: they cannot be in JSON."""
    folder = data.on_hub is not None or is_folder(data.annotations)
    return folder or _begins_with(data.annotations, PARQUET)


def are_here(data: FilesConfig) -> bool:
    """Whether the annotations are on this machine."""
    if data.on_hub is not None:
        return hub_folder(data.on_hub) is not None
    return is_file(data.annotations) or is_folder(data.annotations)


def annotations_sha256(data: FilesConfig) -> str:
    """Hash of the annotations, which are here: of a file's content, or of all files of a folder.

    Raises:
        DataError: They cannot be read.
    """
    place = data_place(data)
    if not is_folder(place):
        return file_sha256(place)
    files = sorted(path for path in place.rglob("*") if is_file(path))
    named = [(path.relative_to(place).as_posix(), file_sha256(path)) for path in files]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()


def file_sha256(path: str | Path) -> str:
    """Hash of a file's content.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error


def read_json(path: str) -> Any:
    """The parsed content of a JSON file, in UTF-8 and at most 200 levels deep.

    Raises:
        DataError: It cannot be read or is not such a file.
    """
    return _parsed(shown(path), _bytes(path))


def _of_json(data: FilesConfig, content: Any) -> Annotations:
    name = shown(data.annotations)
    if isinstance(content, dict) and any(key in content for key in MESSAGES):
        content = [content]
    if isinstance(content, dict) and content.get("images"):
        if data.columns is not None:
            raise DataError(f"`columns` are those of a table, but {name} has Karpathy's layout")
        return karpathy(name, content)
    if isinstance(content, list) and content:
        if data.columns is not None or any(_is_row(item) for item in content):
            return objects_table(name, ((f"entry [{i}]", item) for i, item in enumerate(content)))
        return llava(name, content)
    raise DataError(
        f"{name} has none of the known layouts: Karpathy's {KARPATHY}, LLaVA's {LLAVA}, or a table "
        'as JSON lines {"messages": [{"role", "content"}], "images": [...]}'
    )


def _is_row(item: Any) -> bool:
    """Whether an entry of a JSON list has what LLaVA's layout does not have."""
    return isinstance(item, dict) and ("messages" in item or "images" in item)


def _is_lines(content: bytes) -> bool:
    """Whether the first line is JSON by itself, and more follows."""
    first, _, rest = content.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")
    if not rest.strip():
        return False
    try:
        from_json(first)
    except ValueError:
        return False
    return True


def _begins_with(path: str, start: bytes) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(start)) == start
    except (OSError, ValueError):
        return False


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{shown(path)} cannot be read: {error}") from error


def _parsed(name: str, content: bytes) -> Any:
    """The value of JSON in UTF-8, at most 200 levels deep."""
    try:
        return from_json(content)
    except ValueError as error:
        raise DataError(f"{name} is not JSON: {error}") from error
