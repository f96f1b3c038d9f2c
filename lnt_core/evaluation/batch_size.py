"""How many images can be captioned at once: a file through which processes tell each other."""

from pathlib import Path

from lnt_core.errors import DamagedError
from lnt_core.files import read_json, set_aside, write_json

KEY = "batch_size"


def lower_to(path: Path, size: int) -> None:
    """Tell other processes that memory ran out with more than ``size`` images.

    Two processes that do so at once may leave the larger size; whoever finds that it is too large
    lowers it again.
    """
    write_json(path, {KEY: min(size, told(path) or size)})


def told(path: Path) -> int | None:
    """The size that other processes have told; None if memory has never run out."""
    try:
        return int(read_json(path)[KEY])
    except FileNotFoundError:
        return None
    except DamagedError as error:
        set_aside(path, error.why, "captioning begins with data.select.batch_size again")
        return None
