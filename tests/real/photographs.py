"""Where the photographs are: 600 of Flickr8k, read in place and never copied."""

import os
from pathlib import Path

from lnt_core.errors import ConfigError

VARIABLE = "LNT_REAL_DATA"
DEFAULT = Path(__file__).parents[3] / "shared" / "data" / "flickr8k"
UNSEEN = ("2084157130_f288e492e4.jpg", "1928319708_ccf1f4ee72.jpg")
"""Of the split `test`: two dogs that run in a field, and a man who cycles on a road."""


def photographs() -> Path:
    """The folder with `dataset_flickr8k.json` and `images/`.

    Raises:
        ConfigError: It is not there.
    """
    folder = Path(os.environ.get(VARIABLE, DEFAULT))
    if not (folder / "dataset_flickr8k.json").is_file():
        raise ConfigError(
            f"Flickr8k's photographs are missing: no {folder}/dataset_flickr8k.json; set "
            f"{VARIABLE} to the folder that has it, with the photographs in images/"
        )
    return folder


def data_settings() -> list[str]:
    """Arguments of `lnt` that name the photographs in a sweep file."""
    folder = photographs()
    places = {"annotations": folder / "dataset_flickr8k.json", "images": folder / "images"}
    return [
        argument
        for stage in ("data.tune", "data.select")
        for key, path in places.items()
        for argument in ("--set", f"{stage}.{key}={path}")
    ]
