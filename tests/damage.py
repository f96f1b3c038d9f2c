"""Ways in which a file comes out of a crash or off a failing disk."""

import random
from pathlib import Path


def truncate(path: Path, draws: random.Random) -> None:
    """Cut at a random byte."""
    path.write_bytes(path.read_bytes()[: draws.randrange(path.stat().st_size)])


def empty(path: Path, draws: random.Random) -> None:
    """Leave nothing."""
    path.write_bytes(b"")


def flip(path: Path, draws: random.Random) -> None:
    """Flip one bit of a random byte."""
    data = bytearray(path.read_bytes())
    data[draws.randrange(len(data))] ^= 1 << draws.randrange(8)
    path.write_bytes(data)


WAYS = {way.__name__: way for way in (truncate, empty, flip)}


def set_aside(folder: Path) -> list[str]:
    """Names of what was set aside in a folder."""
    return sorted(path.name for path in folder.rglob("*.damaged-*"))
