"""How image files become the pixels that a model sees: the same for training, scoring, captions."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Opening:
    """What is done to an image when it is opened, before a model's own processor sees it."""

    exif_orientation: bool = True
    """Turn it upright as its EXIF data say, as transformers' `load_image` does."""
    max_pixels: int | None = None
    """Scale a larger one down to at most this many pixels, in its proportions; None: keep all."""

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an image once it is scaled.

        Example:
            >>> Opening(max_pixels=1000).size_of(100, 40)
            (50, 20)
        """
        if self.max_pixels is None or width * height <= self.max_pixels:
            return width, height
        scale = (self.max_pixels / (width * height)) ** 0.5
        scaled = (max(1, int(side * scale)) for side in (width, height))
        width, height = (min(side, self.max_pixels) for side in scaled)  # a line of pixels
        return width, height


USUAL = Opening()
"""Upright, and as large as it is."""
