"""The report shows images as the model sees them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lnt_core.config.opening import Opening
from lnt_core.data.captioned import CaptionedImage
from sweeps.storage.samples import read_samples, write_samples


def written(image, folder, **options) -> Image.Image:
    write_samples([CaptionedImage(image, ("a dog",))], folder / "s.jsonl", seed=0, **options)
    (sample,) = read_samples(folder / "s.jsonl")
    return Image.open(io.BytesIO(base64.b64decode(sample.jpeg)))


@pytest.mark.parametrize("exif_orientation", [True, False])
def test_a_photograph_is_shown_upright_only_if_the_model_sees_it_so(
    exif_orientation, tmp_path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "x.jpg", exif=exif)
    opening = Opening(exif_orientation=exif_orientation)
    shown = written(tmp_path / "x.jpg", tmp_path, opening=opening)
    assert shown.size == ((10, 20) if exif_orientation else (20, 10))


def test_16_bits_are_shown_as_the_model_sees_them(tmp_path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "x.png")
    shown = np.asarray(written(tmp_path / "x.png", tmp_path)).mean()
    assert shown == pytest.approx((ramp >> 8).mean(), abs=2)
