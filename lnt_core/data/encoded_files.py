"""Encoded conversations as flat files of integers, which the processes of a node map and share.

Each column is a ragged table: ``<name>.npy`` has all values, ``<name>.offsets.npy`` where each row
begins and ends. Image paths are a column of bytes, and conversations name them by number.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.files import read_json, write_json

IDS, LEARNT, IMAGES, PATHS, EXTRA = "input_ids", "learnt", "images", "paths", "extra-"
"""Columns: token ids; where in them each learnt run begins and ends; numbers of the images; the
images' paths; what begins the name of an extra, which is kept as runs of equal values: where each
begins, and the value. A conversation without that extra has none."""
ABOUT = "about.json"
"""The names of the extras, and how many conversations were left out."""
_DTYPES = (np.uint8, np.uint16, np.int32)
_CHUNK = 2**20
"""Values that are converted at a time."""
Integers = npt.NDArray[np.signedinteger[Any] | np.unsignedinteger[Any]]


class EncodedFiles(Sequence[Encoded]):
    """The conversations in a folder that ``write_encoded`` has filled, each made when asked for.

    Nothing is read but what is asked for, and that into the system's page cache, which all
    processes have in common.
    """

    def __init__(self, folder: Path) -> None:
        about = read_json(folder / ABOUT)
        self.num_left_out: int = about["left_out"]
        """Conversations without an answer in their first tokens, which are not here."""
        self._ids, self._learnt, self._images, self._paths = (
            _Column(folder, name) for name in (IDS, LEARNT, IMAGES, PATHS)
        )
        self._extras = {name: _Column(folder, f"{EXTRA}{name}") for name in about["extras"]}

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> Encoded: ...
    @overload
    def __getitem__(self, index: slice) -> list[Encoded]: ...
    def __getitem__(self, index: int | slice) -> Encoded | list[Encoded]:
        if isinstance(index, slice):
            return [self._made(number) for number in range(len(self))[index]]
        return self._made(range(len(self))[index])

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation."""
        return self._ids.longest

    def image_paths(self) -> Iterator[Path]:
        """The images as they were given to ``write_encoded``."""
        return (self._path(number) for number in range(len(self._paths)))

    def _made(self, number: int) -> Encoded:
        ids = self._ids.row(number).astype(np.int32)
        labels = np.full_like(ids, IGNORE)
        for start, end in self._learnt.row(number).reshape(-1, 2).tolist():
            labels[start:end] = ids[start:end]
        rows = {name: column.row(number) for name, column in self._extras.items()}
        return Encoded(
            _ints(ids),
            _ints(labels),
            tuple(self._path(image) for image in self._images.row(number).tolist()),
            {name: _ints(_of_runs(row, len(ids))) for name, row in rows.items() if len(row)},
        )

    def _path(self, number: int) -> Path:
        return Path(os.fsdecode(self._paths.row(number).tobytes()))


def longest(samples: Sequence[Encoded]) -> int:
    """Tokens of the longest conversation."""
    if isinstance(samples, EncodedFiles):
        return samples.longest
    return max(len(sample.input_ids) for sample in samples)


def write_encoded(
    folder: Path, samples: Iterable[Encoded], *, images: Sequence[Path], num_samples: int
) -> None:
    """Write conversations one by one, so that memory never holds all of them.

    Args:
        folder: An empty folder.
        samples: Conversations, each of at least one token.
        images: The images of all conversations, each once, with those that are left out.
        num_samples: How many conversations there were before some were left out.
    """
    columns = {name: _Draft(folder, name) for name in (IDS, LEARNT, IMAGES, PATHS)}
    extras: dict[str, _Draft] = {}
    numbers = {path: number for number, path in enumerate(images)}
    for path in images:
        columns[PATHS].append(list(os.fsencode(path)))
    count = 0
    for count, sample in enumerate(samples, start=1):
        columns[IDS].append(sample.input_ids)
        columns[LEARNT].append(_learnt_runs(sample))
        columns[IMAGES].append([numbers[path] for path in sample.images])
        for name in sample.extras.keys() - extras.keys():
            extras[name] = _Draft(folder, f"{EXTRA}{name}", rows=count - 1)
        for name, draft in extras.items():
            draft.append(_runs(sample.extras.get(name, ())))
    for draft in (*columns.values(), *extras.values()):
        draft.finish()
    write_json(folder / ABOUT, {"extras": sorted(extras), "left_out": num_samples - count})


def _learnt_runs(sample: Encoded) -> list[int]:
    """Where each run of learnt tokens begins and ends, flat."""
    ids, labels = np.asarray(sample.input_ids), np.asarray(sample.labels)
    learnt = labels != IGNORE
    if not np.array_equal(labels[learnt], ids[learnt]):
        raise ValueError("a label is neither its token nor IGNORE")
    edges: list[int] = np.flatnonzero(np.diff(learnt, prepend=False, append=False)).tolist()
    return edges


def _runs(values: Sequence[int]) -> list[int]:
    """Where each run of equal values begins, and the value, flat."""
    row = np.asarray(values, np.int32)
    begins = np.flatnonzero(np.append(True, row[1:] != row[:-1])) if len(row) else row
    pairs: list[int] = np.stack([begins, row[begins]], axis=1).reshape(-1).tolist()
    return pairs


def _of_runs(flat: Integers, length: int) -> Integers:
    """The ``length`` values of which ``_runs`` gave ``flat``."""
    begins, values = flat.reshape(-1, 2).T
    return np.repeat(values, np.diff(begins, append=length))


def _ints(values: Integers) -> "array[int]":
    return array("i", values.astype(np.int32).tobytes())


class _Column:
    """A column that is mapped from its files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._values: Integers = np.load(folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
        offsets = np.load(folder / f"{name}.offsets.npy", mmap_mode="r")
        self._offsets: npt.NDArray[np.int64] = offsets.view(np.ndarray)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def longest(self) -> int:
        return int(np.diff(self._offsets).max())

    def row(self, number: int) -> Integers:
        return self._values[self._offsets[number] : self._offsets[number + 1]]


class _Draft:
    """A column that is being written, as int32 until it is known which integers it has."""

    def __init__(self, folder: Path, name: str, *, rows: int = 0) -> None:
        self._path = folder / name
        self._file = self._path.open("wb")
        self._offsets = array("q", bytes(8 * (rows + 1)))
        self._range: list[Any] = [0, 0]

    def append(self, values: Sequence[int]) -> None:
        if len(values):
            row = np.asarray(values, np.int32)
            self._range = [min(self._range[0], row.min()), max(self._range[1], row.max())]
            self._file.write(row.tobytes())
        self._offsets.append(self._offsets[-1] + len(values))

    def finish(self) -> None:
        """Write the values as the smallest integers that hold them."""
        self._file.close()
        low, high = self._range
        dtype = next(d for d in _DTYPES if np.iinfo(d).min <= low and high <= np.iinfo(d).max)
        np.save(f"{self._path}.offsets.npy", np.asarray(self._offsets))
        shape = (self._offsets[-1],)
        values = np.lib.format.open_memmap(f"{self._path}.npy", mode="w+", dtype=dtype, shape=shape)
        with self._path.open("rb") as file:
            for start in range(0, shape[0], _CHUNK):
                values[start : start + _CHUNK] = np.fromfile(file, np.int32, _CHUNK)
        values.flush()
        self._path.unlink()
