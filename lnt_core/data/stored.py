"""Writes the images that are within annotations to files of the cache."""

from functools import partial
from pathlib import Path
from typing import TypeVar

from lnt_core.config import CaptioningConfig, DatasetConfig, FilesConfig
from lnt_core.data.annotations import has_images_within
from lnt_core.data.captioned import read_captioned
from lnt_core.data.image_files import write_image
from lnt_core.data.samples import read_samples

Files = TypeVar("Files", bound=FilesConfig)


def with_image_files(data: Files, cache: Path) -> Files:
    """The same data set, with its images in files.

    Args:
        data: A data set; what has its images in files already is returned as it is.
        cache: Folder kept between runs. The images of all data sets are in one folder of it, named
            by their content, and are written unless they are there and whole.

    Raises:
        DataError: The annotations cannot be used.
    """
    if not has_images_within(data):
        return data
    folder = cache / "images"
    keep = partial(write_image, folder)
    if isinstance(data, CaptioningConfig):
        within = read_captioned(data, data.splits, keep=keep).images_within
    else:
        assert isinstance(data, DatasetConfig)
        within = read_samples(data, keep=keep).images_within
    return data.model_copy(update={"images": str(folder)}) if within else data
