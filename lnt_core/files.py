"""Files that are written atomically, and checked when they are read.

JSON and YAML carry a checksum of their content, PyTorch's files one of each tensor; of other files
the checksums stand in a JSON file. What is damaged is set aside under a name that says so.
"""

import errno
import json
import logging
import os
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lnt_core.errors import DamagedError

logger = logging.getLogger(__name__)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""`errno` of what a full disk, or a full quota, raises."""
CRC32 = "crc32"
"""Key of the checksum in a JSON object, and its name in the last line of a YAML file."""
_LAST_LINE = f"# {CRC32}: "
_CHUNK = 2**20


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: readers see the old content or all of the new."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """The same for a file that is no text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, with the checksum of its content as one more key."""
    plain = json.loads(json.dumps(content))  # as it will be read
    write_text(path, json.dumps({**plain, CRC32: content_crc32(plain)}, indent=1))


def read_json(path: Path) -> dict[str, Any]:
    """Read a file written by :func:`write_json`.

    Raises:
        DamagedError: The content is not what was written.
    """
    content = parsed_json(_bytes(path), path)
    if not isinstance(content, dict):
        raise DamagedError(path, "it is no JSON object")
    if content.pop(CRC32, None) != content_crc32(content):
        raise DamagedError(path, "its checksum is another")
    return content


def parsed_json(text: bytes, path: Path) -> Any:
    """The content of JSON from ``path``, whatever it is.

    Raises:
        DamagedError: It is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedError(path, "it is no JSON" if text else "it is empty") from None


def write_yaml(path: Path, content: Any) -> None:
    """Write YAML atomically, with the checksum of the text in a comment on its last line."""
    text = yaml.safe_dump(content, sort_keys=False)
    write_text(path, f"{text}{_LAST_LINE}{_hex(zlib.crc32(text.encode()))}\n")


def read_yaml(path: Path) -> Any:
    """Read a file written by :func:`write_yaml`.

    Raises:
        DamagedError: The content is not what was written.
    """
    data = _bytes(path)
    text, mark, checksum = data.rpartition(_LAST_LINE.encode())
    if not mark or checksum != f"{_hex(zlib.crc32(text))}\n".encode():
        raise DamagedError(path, "its checksum is another" if data else "it is empty")
    return yaml.safe_load(text)


def content_crc32(content: Any) -> str:
    """Checksum of what a JSON file says, however it is formatted: 8 hexadecimal digits."""
    return _hex(zlib.crc32(json.dumps(content, sort_keys=True).encode()))


def file_crc32(path: Path) -> str:
    """Checksum of a file's bytes: 8 hexadecimal digits."""
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return _hex(checksum)


def checksums(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Checksums of files in a folder, by their paths within it."""
    return {path.relative_to(folder).as_posix(): file_crc32(path) for path in sorted(files)}


def damaged_files(folder: Path, known: Mapping[str, str]) -> list[str]:
    """Those of the files in ``known`` that are missing or have another checksum."""
    return [
        name
        for name, checksum in known.items()
        if not (folder / name).is_file() or file_crc32(folder / name) != checksum
    ]


def check_torch(path: Path, *, weights_only: bool = True) -> None:
    """Check a file of ``torch.save``, which holds a checksum of each of its parts.

    ``torch.load`` does not compare these checksums. Reads the file once, at about 3.5 GB/s if it is
    in memory (docs/LOG.md).

    Args:
        path: The file.
        weights_only: As for ``torch.load``.

    Raises:
        DamagedError: The content is not what was written.
    """
    import torch  # the rest of this module does without

    try:
        with zipfile.ZipFile(path) as parts:
            bad = parts.testzip()
        if bad is None:  # then what the checksums leave out: names, offsets
            torch.load(path, map_location="cpu", weights_only=weights_only, mmap=True)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EIO):
            raise
        bad = str(error)
    except Exception as error:  # noqa: BLE001  zipfile, pickle and torch raise anything
        bad = type(error).__name__
    if bad is not None:
        empty = path.stat().st_size == 0
        raise DamagedError(path, "it is empty" if empty else f"not as it was written: {bad}")


def set_aside(path: Path, why: str, then: str) -> None:
    """Rename what is damaged to ``<name>.damaged-<n>``, and log one sentence about it.

    Args:
        path: The damaged file or folder; another process may have renamed it already.
        why: What is wrong with it.
        then: What happens now, as the end of the sentence.
    """
    aside = _aside(path)
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    logger.warning("%s is damaged (%s) and now %s: %s", path, why, aside.name, then)


def cut_off(path: Path, size: int, why: str, then: str) -> None:
    """Move the end of a file to ``<name>.damaged-<n>``, and log one sentence about it.

    Args:
        path: The file, to which nobody writes meanwhile.
        size: How many bytes of it are whole, and stay.
        why: What is wrong with the first byte after them.
        then: What happens now, as the end of the sentence.
    """
    aside = _aside(path)
    with path.open("rb") as file, aside.open("wb") as end:
        file.seek(size)
        shutil.copyfileobj(file, end)
    os.truncate(path, size)
    logger.warning(
        "%s is damaged from byte %d on (%s), which is now %s: %s", path, size, why, aside.name, then
    )


def _aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedError(path, "the disk cannot read it") from error


def _hex(checksum: int) -> str:
    return f"{checksum:08x}"
