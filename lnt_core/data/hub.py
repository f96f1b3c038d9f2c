"""Tables that the `datasets` library reads: parquet files, folders, data sets of the Hub's cache.

Images are taken as they are stored: the content of a file, or its path. Nothing is downloaded.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from lnt_core.config import FilesConfig
from lnt_core.data.table import Row, Table
from lnt_core.errors import DataError
from lnt_core.paths import is_file, is_folder, shown

PARQUET = b"PAR1"
"""The first bytes of a parquet file."""
SAVED = ("dataset_dict.json", "state.json")
"""One of them is in every folder that `save_to_disk` has written."""
_ROWS = 100
"""Rows that are read at a time; each may hold the whole files of images."""


def dataset_table(data: FilesConfig) -> Table:
    """The table in a parquet file or a folder, or of a data set of the Hub.

    Raises:
        DataError: There is none, it cannot be read, or `subset` has to name one of several.
    """
    name = shown(data.annotations)
    place = data_place(data)
    splits = _opened(name, place, data.subset)
    single = len(splits) == 1 and is_file(place)  # `datasets` calls it `train`
    parts = {"" if single else split: rows for split, rows in splits.items()}
    columns = dict.fromkeys(key for rows in parts.values() for key in rows.column_names or ())
    return Table(
        name, tuple(columns), {s: partial(_rows, name, s, rows) for s, rows in parts.items()}
    )


def data_place(data: FilesConfig) -> Path:
    """The file or folder of a data set, which for one of the Hub is in the Hugging Face cache.

    Raises:
        DataError: It is not in the cache.
    """
    hub = data.on_hub
    if hub is None:
        return Path(data.annotations)
    folder = hub_folder(hub)
    if folder is None:
        raise DataError(absent(data))
    return folder


def image_folder(data: FilesConfig) -> str:
    """The folder that image names are relative to.

    Raises:
        DataError: It is that of a data set of the Hub, which is not in the cache.
    """
    if data.images is not None:
        return data.images
    place = data_place(data)
    return str(place if is_folder(place) else place.parent)


def image_root(data: FilesConfig) -> Path:
    """The resolved folder that images must be in once links are followed.

    In the Hub's cache files are links to another folder of the same data set.

    Raises:
        DataError: As for :func:`image_folder`.
    """
    folder = Path(image_folder(data))
    if data.images is None and data.on_hub is not None:
        folder = folder.parents[1]  # of snapshots/REVISION
    return folder.resolve()


def absent(data: FilesConfig) -> str:
    """What to say about a data set that is not on this machine."""
    if data.on_hub is None:
        return f"there is no file {shown(data.annotations)}"
    return (
        f"there is no data set {shown(data.on_hub)} in the Hugging Face cache; download it with "
        f"`hf download --repo-type dataset {shown(data.on_hub)}`"
    )


def hub_folder(name: str) -> Path | None:
    """The folder of a data set in the Hugging Face cache; None if it is not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _opened(name: str, place: Path, subset: str | None) -> dict[str, Any]:
    """The data sets of `datasets` by split."""
    import datasets

    try:
        if any(is_file(place / file) for file in SAVED):
            saved = datasets.load_from_disk(str(place))
            return dict(saved) if isinstance(saved, dict) else {"": saved}
        with tempfile.TemporaryDirectory() as cache:  # for nothing but a lock
            if is_file(place):
                found = datasets.load_dataset(
                    "parquet", data_files=str(place), streaming=True, cache_dir=cache
                )
            else:
                found = datasets.load_dataset(str(place), subset, streaming=True, cache_dir=cache)
            return dict(found)
    except Exception as error:
        raise _unreadable(name, error) from error


def _rows(name: str, split: str, rows: Any) -> Iterator[Row]:
    """The rows of a split, in Arrow's own form: `datasets` would decode images."""
    of_split = f" of split {split!r}" if split else ""
    number = 0
    try:
        for batch in rows.with_format("arrow").iter(batch_size=_ROWS):
            for values in batch.to_pylist():
                yield Row(f"row [{number}]{of_split}", values)
                number += 1
    except Exception as error:
        raise _unreadable(f"{name}, after {number} rows{of_split},", error) from error


def _unreadable(name: str, error: Exception) -> DataError:
    """Whatever it is: `datasets` and pyarrow raise errors of any class about damaged files."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{name} cannot be read: {shown(reason)}")
