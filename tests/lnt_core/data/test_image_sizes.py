"""Sizes of images that are files, and of those that are within a table."""

from pathlib import Path

import pytest
from PIL import Image

from lnt_core.config.opening import Opening
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.errors import DataError


def test_of_files_and_of_what_is_known(tmp_path) -> None:
    Image.new("RGB", (100, 40)).save(tmp_path / "x.png")
    sizes = ImageSizes(Opening(max_pixels=1000), {Path("drawn"): (48, 48)})
    assert sizes.of(tmp_path / "x.png") == (20, 50)
    assert sizes.of(Path("drawn")) == (48, 48)
    with pytest.raises(DataError, match="there is no such file"):
        sizes.of(tmp_path / "gone.png")
