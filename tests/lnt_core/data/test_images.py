"""Images in every layout of pixels become the RGB that a model sees, or are refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lnt_core.config.opening import Opening
from lnt_core.data.images import check_header, open_rgb, opened_size
from lnt_core.errors import DataError

RAMP = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
ORIENTATION = 0x0112


def stored(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(source, **options) -> np.ndarray:
    image = open_rgb(source, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_keep_their_high_byte(form) -> None:
    assert (pixels(stored(Image.fromarray(RAMP), form)) == (RAMP >> 8)[..., None]).all()


def test_16_bits_of_a_big_endian_tiff_keep_their_high_byte() -> None:
    image = Image.frombytes("I;16B", (16, 16), RAMP.astype(">u2").tobytes())
    assert (pixels(stored(image, "TIFF")) == (RAMP >> 8)[..., None]).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (RAMP.astype(np.float32) / 65535, "its pixels are floating-point numbers"),
        (RAMP.astype(np.int32) * 10, "its pixels are 32-bit numbers from 0 to 655350"),
        (-RAMP.astype(np.int32), "its pixels are 32-bit numbers from -65535 to 0"),
    ],
    ids=["floating point", "32 bits", "negative"],
)
def test_pixels_without_black_and_white_are_refused(values, reason, tmp_path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(values).save(path)
    with pytest.raises(DataError, match=f"{path} cannot be decoded: {reason}"):
        open_rgb(path)


def test_floating_point_is_refused_by_the_header_alone(tmp_path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path)
    with pytest.raises(DataError, match="floating-point"):
        check_header(path)


RED = (200, 10, 20)


def palette(transparency) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, *RED])
    return stored(image, "PNG", transparency=transparency)


@pytest.mark.parametrize(
    "content",
    [
        stored(Image.new("RGBA", (4, 4), (*RED, 0)), "PNG"),
        stored(Image.new("RGBA", (4, 4), (*RED, 128)), "WEBP", lossless=True, exact=True),
        palette(1),
        palette(bytes([255, 7])),
        stored(Image.new("RGB", (4, 4), RED), "BMP"),
        stored(Image.new("CMYK", (4, 4), (55, 245, 235, 0)), "TIFF"),
        stored(
            Image.new("RGB", (4, 4), RED),
            "PNG",
            save_all=True,
            append_images=[Image.new("RGB", (4, 4))],
        ),
        stored(
            Image.new("RGB", (4, 4), RED),
            "GIF",
            save_all=True,
            append_images=[Image.new("RGB", (4, 4))],
        ),
    ],
    ids=["RGBA", "half transparent", "palette", "alpha in palette", "RGB", "CMYK", "APNG", "GIF"],
)
@pytest.mark.filterwarnings("error")
def test_colors_are_those_without_alpha_of_the_first_frame(content) -> None:
    assert pixels(content).tolist() == [[list(RED)] * 4] * 4


def test_gray_and_black_and_white_become_rgb() -> None:
    assert pixels(stored(Image.new("LA", (2, 2), (77, 0)), "PNG")).tolist() == [[[77] * 3] * 2] * 2
    assert pixels(stored(Image.new("1", (2, 2), 1), "PNG")).tolist() == [[[255] * 3] * 2] * 2


def photograph() -> Image.Image:
    return Image.fromarray(np.arange(8 * 4 * 3, dtype=np.uint8).reshape(8, 4, 3))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_an_image_upright_unless_told_not_to(orientation, form) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if form == "WEBP" else {}
    content = stored(photograph(), form, exif=exif, **options)
    as_stored = np.asarray(photograph())
    turned = {
        1: as_stored,
        2: as_stored[:, ::-1],
        3: as_stored[::-1, ::-1],
        4: as_stored[::-1],
        5: as_stored.transpose(1, 0, 2),
        6: as_stored.transpose(1, 0, 2)[:, ::-1],
        7: as_stored[::-1, ::-1].transpose(1, 0, 2),
        8: as_stored.transpose(1, 0, 2)[::-1],
    }
    assert (pixels(content) == turned[orientation]).all()
    assert (pixels(content, opening=Opening(exif_orientation=False)) == as_stored).all()


def test_a_tiff_is_turned_once() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    turned = np.asarray(photograph())[::-1, ::-1]
    content = stored(photograph(), "TIFF", exif=exif)
    assert (pixels(content) == turned).all()
    assert (pixels(content, opening=Opening(exif_orientation=False)) == turned).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"\0" * 40])
def test_exif_data_that_cannot_be_read_turn_nothing(exif) -> None:
    assert pixels(stored(photograph(), "JPEG", exif=exif)).shape == (8, 4, 3)


def test_an_ordinary_jpeg_has_the_pixels_that_pillow_gives(tmp_path) -> None:
    path = tmp_path / "x.jpg"
    photograph().save(path)
    assert (pixels(path) == np.asarray(Image.open(path).convert("RGB"))).all()
    assert (pixels(path.read_bytes()) == pixels(path)).all()


def test_one_error_has_the_path_and_the_reason(tmp_path, monkeypatch) -> None:
    whole = stored(Image.fromarray(RAMP), "PNG")
    cases = {
        "text.png": (b"no image", "it is not an image in a format that Pillow reads"),
        "short.png": (whole[: len(whole) // 2], "truncated"),
        "empty.png": (b"", "it is not an image in a format that Pillow reads"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{tmp_path / name} cannot be decoded: .*{reason}"):
            open_rgb(tmp_path / name)
    (tmp_path / "bomb.png").write_bytes(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"bomb\.png cannot be decoded: .*exceeds limit"):
        open_rgb(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["gone.png", "a\0b.png", "\ud800.png", "x" * 5000, "loop"])
def test_a_name_that_no_file_has_is_one_error_too(name, tmp_path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match=": there is no such file") as refused:
        open_rgb(Path(tmp_path, name))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(("width", "height"), [(4000, 3000), (31, 977), (1, 5000), (20, 20)])
def test_a_large_image_is_scaled_to_the_same_size_as_the_header_tells(
    width, height, tmp_path
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # on its side
    path, opening = tmp_path / "x.png", Opening(max_pixels=1000)
    Image.new("RGB", (width, height)).save(path, exif=exif)
    opened = open_rgb(path, opening)
    assert (opened.height, opened.width) == opened_size(path, opening)
    assert opened.width * opened.height <= 1000
    if width * height <= 1000:
        assert opened.size == (height, width)
    elif min(width, height) > 1:
        assert opened.width / opened.height == pytest.approx(height / width, rel=0.2)
