"""Folders of the cache: made once, checked by each process that uses them."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lnt_core.errors import DamagedError
from lnt_core.files import checksums, damaged_files, read_json, set_aside, write_json

CHECKSUMS = "checksums.json"
"""In a folder: the checksum of each of its other files."""
_checked: set[Path] = set()
"""The folders that this process has found whole."""


def cached_folder(folder: Path, make: Callable[[Path], None], *, alone: bool = False) -> Path:
    """A folder that is made unless it is there and whole.

    A folder in which something is damaged keeps its place until the new one is complete.

    Args:
        folder: The folder, named by a hash of everything that its files depend on.
        make: Writes the files into an empty folder; two calls must write the same.
        alone: No other process makes it now: what killed ones have left of it is deleted.
    """
    if is_whole(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{folder.name}-"
    if alone:
        for left in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(left)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
    try:
        make(draft)
        write_checksums(draft)
    except BaseException:
        shutil.rmtree(draft)
        raise
    if folder.is_dir() and (why := folder_damage(folder)):
        set_aside(folder, why, "it has been made again")
    try:
        os.replace(draft, folder)
    except OSError:  # another process has written the same files
        shutil.rmtree(draft)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether a folder of the cache is there, and was as it was written when first asked about."""
    if not folder.is_dir() or (folder not in _checked and folder_damage(folder)):
        return False
    _checked.add(folder)
    return True


def write_checksums(folder: Path) -> None:
    """Write ``CHECKSUMS`` in a folder that is complete."""
    write_json(folder / CHECKSUMS, checksums(folder, _files(folder)))


def folder_damage(folder: Path) -> str:
    """What is wrong with a folder that has ``CHECKSUMS``; empty if it is whole."""
    try:
        bad = damaged_files(folder, read_json(folder / CHECKSUMS))
    except FileNotFoundError:
        return f"it has no {CHECKSUMS}"
    except DamagedError as error:
        return f"{CHECKSUMS}: {error.why}"
    return f"{len(bad)} of its files, {bad[0]} among them" if bad else ""


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != CHECKSUMS]
