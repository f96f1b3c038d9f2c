"""Sizes of a data set's images, wherever they are, without decoding them."""

from collections.abc import Mapping
from pathlib import Path

from lnt_core.config import DatasetConfig
from lnt_core.config.opening import Opening
from lnt_core.data.hub import image_folder
from lnt_core.data.image_files import Keep
from lnt_core.data.images import opened_size


class ImageSizes:
    """Heights and widths of images once they are opened, from their headers.

    Args:
        opening: How they are opened.
        known: Heights and widths of images that are not there yet.
    """

    def __init__(
        self, opening: Opening, known: Mapping[Path, tuple[int, int]] | None = None
    ) -> None:
        self._opening = opening
        self._known = dict(known or {})

    def of(self, path: Path) -> tuple[int, int]:
        """Height and width of an image.

        Raises:
            DataError: It cannot be opened.
        """
        if path not in self._known:
            self._known[path] = opened_size(path, self._opening)
        return self._known[path]

    def keep(self, data: DatasetConfig) -> Keep:
        """Notes the sizes of images that are within annotations, and so not in files yet.

        Raises:
            DataError: The data set is one of the Hub, which is not in the cache.
        """
        folder = image_folder(data)

        def note(name: str, content: bytes, row: str) -> None:
            path = Path(folder, name)
            if path not in self._known:
                self._known[path] = opened_size(content, self._opening)

        return note
