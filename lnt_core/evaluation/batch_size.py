"""How many questions can be answered at once: a file through which processes tell each other."""

from pathlib import Path

from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json


def lower_to(path: Path, task: str, size: int) -> None:
    """Tell other processes that memory ran out with more than ``size`` questions of a task.

    Two processes that do so at once may leave the larger size, or that of one task; whoever finds
    that it is too large lowers it again.

    Args:
        path: The file.
        task: The prefix of the task; another one's prompts and answers have other lengths.
        size: How many questions to begin with.
    """
    known = _known(path)
    write_json(path, known | {task: min(size, known.get(task, size))})


def told(path: Path, task: str) -> int | None:
    """The size that other processes have told; None if memory has never run out in the task."""
    return _known(path).get(task)


def _known(path: Path) -> dict[str, int]:
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}
    except DamagedError as error:
        set_aside(path, error.why, "tasks begin with their batch_size again")
        return {}
