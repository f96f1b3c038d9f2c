"""Opens image files as the RGB pixels that a model sees; everything that shows one uses this."""

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from lnt_core.config.opening import USUAL, Opening
from lnt_core.errors import DataError
from lnt_core.paths import is_file, shown

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation (Exif 2.32, tag 274)."""
ON_ITS_SIDE = {UPRIGHT[orientation] for orientation in (5, 6, 7, 8)}
"""Those that exchange width and height."""


def open_rgb(source: Path | bytes, opening: Opening = USUAL) -> Image.Image:
    """Open an image file as 8-bit RGB.

    - 16-bit gray values keep their high byte, as Pillow does with 16-bit color. 32-bit integers are
      accepted if they are 16-bit values (a 16-bit PGM is opened that way). Floating-point pixels
      are refused, since the file does not say which values are black and white.
    - Transparency is dropped, as by ``convert("RGB")`` in LLaVA's code and in transformers.
    - CMYK and palettes are converted by Pillow, without color profiles.
    - Of an animation, the first frame is used.
    - The EXIF orientation is applied, as in transformers' ``load_image``. EXIF data that cannot be
      read has no orientation. The orientation of a TIFF is always applied, by Pillow itself.

    Args:
        source: Path or content of the file.
        opening: Whether it is turned upright and scaled down.

    Raises:
        DataError: The image cannot be opened; the message has its path and the reason.
    """
    _check_file(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            return _scaled(_rgb(_upright(image) if opening.exif_orientation else image), opening)
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        raise DataError(f"{_name(source)} cannot be decoded: {_reason(error)}") from error


def opened_size(source: Path | bytes, opening: Opening = USUAL) -> tuple[int, int]:
    """Height and width of an image as :func:`open_rgb` gives it, from its header alone.

    Raises:
        DataError: The image cannot be opened.
    """
    _check_file(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            width, height = image.size
            if opening.exif_orientation and _turned_by(image) in ON_ITS_SIDE:
                width, height = height, width
            width, height = opening.size_of(width, height)
            return height, width
    except Exception as error:  # as above
        raise DataError(f"{_name(source)} cannot be decoded: {_reason(error)}") from error


def check_header(source: Path | bytes) -> str:
    """Check that a file is an image, by its header alone.

    Args:
        source: Path or content of the file.

    Returns:
        The name of its format, as ``jpeg``.

    Raises:
        DataError: It is not, or it would be refused by :func:`open_rgb` whatever its pixels are.
    """
    _check_file(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            _check_mode(image)
            return str(image.format).lower()
    except Exception as error:  # as above
        raise DataError(f"{_name(source)} cannot be decoded: {_reason(error)}") from error


def _check_file(source: Path | bytes) -> None:
    if isinstance(source, Path) and not is_file(source):
        raise DataError(f"{_name(source)}: there is no such file")


def _name(source: Path | bytes) -> str:
    return shown(source) if isinstance(source, Path) else "an image given by its content"


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "it is not an image in a format that Pillow reads"
    return str(error) or type(error).__name__


def _scaled(image: Image.Image, opening: Opening) -> Image.Image:
    size = opening.size_of(*image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def _upright(image: Image.Image) -> Image.Image:
    """The image turned by its EXIF orientation, if it has one that can be read.

    ``ImageOps.exif_transpose`` would also rewrite the EXIF data, which fails for unusual tags.
    """
    method = _turned_by(image)
    return image if method is None else image.transpose(method)


def _turned_by(image: Image.Image) -> Image.Transpose | None:
    try:
        return UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  as above; torchvision ignores such EXIF data, too
        return None


def _check_mode(image: Image.Image) -> None:
    if image.mode == "F":
        raise ValueError(
            "its pixels are floating-point numbers, of which the file does not say which are black "
            "and white; save it with 8 or 16 bits"
        )


def _rgb(image: Image.Image) -> Image.Image:
    _check_mode(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError(
                f"its pixels are 32-bit numbers from {values.min()} to {values.max()}, of which "
                "the file does not say which are black and white; save it with 8 or 16 bits"
            )
        image = Image.fromarray((values >> 8).astype(np.uint8))
    image.info.pop("transparency", None)  # dropped; Pillow would warn of it
    return image.convert("RGB")
