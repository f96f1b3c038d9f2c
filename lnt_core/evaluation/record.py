"""The results of a task's batches, written as they come; after a kill, the rest is run."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lnt_core.files import content_crc32

Item = TypeVar("Item")


class Record:
    """A file with a line for each batch, to which only this process writes.

    Batches must be cut in the same way each time. An incomplete last line, as a kill leaves it, is
    cut off; what follows a line that is damaged is run again, too.

    Args:
        path: The file; its folder exists.
        key: What the results depend on; those of another key are forgotten.
        told: Called with the number of questions that are done whenever there are more.
    """

    def __init__(
        self, path: Path, key: str, *, told: Callable[[int], None] = lambda done: None
    ) -> None:
        self._path = path
        self._key = key
        self._told = told

    def results(
        self, batches: Sequence[Sequence[Item]], run: Callable[[Sequence[Item]], Sequence[Any]]
    ) -> list[Any]:
        """The results of all batches in their order; those that are recorded are not run again.

        Args:
            batches: Always the same.
            run: Called with a batch; returns for each of its items what JSON can hold.
        """
        found = self._recorded(batches)
        results = [result for of_batch in found for result in of_batch]
        self._told(len(results))
        with self._path.open("a", encoding="utf-8") as file:
            for batch in batches[len(found) :]:
                fresh = list(run(batch))
                file.write(_line(fresh))
                file.flush()
                results += fresh
                self._told(len(results))
        return results

    def _recorded(self, batches: Sequence[Sequence[Item]]) -> list[list[Any]]:
        """The results of the first batches; the file then ends after them."""
        whole, found = 0, list[list[Any]]()
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
        if lines and _content(lines[0]) == self._key:
            whole = len(lines[0])
            for line, batch in zip(lines[1:], batches, strict=False):
                results = _content(line)
                if not isinstance(results, list) or len(results) != len(batch):
                    break
                found.append(results)
                whole += len(line)
        with self._path.open("ab") as file:
            file.truncate(whole)
            if not whole:
                file.write(_line(self._key).encode())
        return found


def _line(content: Any) -> str:
    return f"{content_crc32(content)} {json.dumps(content)}\n"


def _content(line: bytes) -> Any:
    """What a line says; None if it is incomplete or damaged."""
    checksum, _, text = line.partition(b" ")
    try:
        content = json.loads(text) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return content if content_crc32(content) == checksum.decode("ascii", "replace") else None
