"""Questions about paths that users give, which may be any text: too long, with NUL, in a loop."""

import os
from pathlib import Path

MAX_SHOWN = 300
"""Maximum number of characters of a path or value in a message."""


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file; False for every path that the system cannot look up."""
    return os.path.isfile(path)  # noqa: PTH113  Path.is_file raises for some of these paths


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder; False for every path that the system cannot look up."""
    return os.path.isdir(path)  # noqa: PTH112  as above


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path is inside a folder once links are followed.

    True also for a path that cannot be followed: nothing can be read there.

    Args:
        path: Any path.
        folder: A resolved folder.
    """
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: a loop of links
        return True


def why_not_writable(folder: str | Path) -> str:
    """Why no file can be written in a folder, which may still have to be created; empty if it can.

    Nothing is created to find out.
    """
    try:
        path = Path(folder).absolute()
        os.fsencode(path)
        if "\0" in str(path):
            return "its name has a NUL character"
        while not os.path.lexists(path):
            limit = os.pathconf("/", "PC_NAME_MAX")
            if len(os.fsencode(path.name)) > limit:
                return f"a part of its name has more than {limit} bytes"
            path = path.parent
    except (OSError, RuntimeError, ValueError) as error:
        return str(error)
    if not is_folder(path):
        return f"{shown(path)} is not a folder"
    if not os.access(path, os.W_OK | os.X_OK):
        return f"{shown(path)} is not writable"
    return ""


def is_model_here(name: str) -> bool:
    """Whether a model is on this machine: a folder, or a name in the Hugging Face cache."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if is_file(Path(name, "config.json")):
        return True
    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


def shown(path: str | Path) -> str:
    """A path or other text for a message: printable, and not longer than ``MAX_SHOWN``.

    Example:
        >>> shown("a.png"), len(shown("x" * 5000))
        ('a.png', 300)
    """
    text = str(path)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
