"""Files of images that are within annotations: written once to the cache, named by their content.

So every image is a path, and the same photograph in several rows or tables is one file.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from lnt_core.data.images import check_header
from lnt_core.errors import DataError
from lnt_core.files import write_bytes

Image = str | bytes
"""An image of a row: its path, or the content of its file."""
Keep = Callable[[str, bytes, str], None]
"""Takes the name and the content of an image that is within a table, and the name of its row."""


class ImageFiles:
    """The paths of the images of a table, which are all within it or all apart from it.

    Args:
        folder: Folder that names of images are relative to.
        keep: Called with every image that is within the table, as often as it is there.
    """

    def __init__(self, folder: str, keep: Keep | None = None) -> None:
        self._folder = folder
        self._keep = keep
        self.within: bool | None = None
        """Whether they are within the table; None if there was no image yet."""

    def paths(self, images: Sequence[Image], row: str) -> tuple[Path, ...]:
        """The paths of the images of a row.

        Args:
            images: The images.
            row: The name of the row.

        Raises:
            DataError: An image is none, or is not where the others are.
        """
        return tuple(self._path(image, row) for image in images)

    def _path(self, image: Image, row: str) -> Path:
        within = isinstance(image, bytes)
        if self.within not in (None, within):
            raise DataError(
                "some images of the table are within it, others are paths; all of them must be "
                "the one or the other"
            )
        self.within = within
        if isinstance(image, str):
            return Path(self._folder, image)
        name = image_name(image)
        if self._keep is not None:
            self._keep(name, image, row)
        return Path(self._folder, name)


def image_name(content: bytes) -> str:
    """The name of the file of an image, by its content.

    Raises:
        DataError: It is no image.
    """
    image_format = check_header(content)
    digest = hashlib.sha256(content).hexdigest()
    return f"{digest[:2]}/{digest}.{image_format}"


def write_image(folder: Path, name: str, content: bytes, row: str) -> None:
    """Write an image unless it is there and whole; atomically, as other processes may do the same.

    Args:
        folder: The folder of all images.
        name: The image's name, from :func:`image_name`.
        content: The image's file.
        row: The name of the row that has it.
    """
    del row
    path = folder / name
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)
