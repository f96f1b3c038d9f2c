"""The same photographs in every form of annotations are the same samples, pixels and features."""

from pathlib import Path

import pytest
import torch

from lnt_core.config import CaptioningConfig, DatasetConfig
from lnt_core.data.captioned import load_captioned
from lnt_core.data.images import open_rgb
from lnt_core.data.samples import load_samples
from lnt_core.data.stored import with_image_files
from tests.formats import COLUMNS, IMAGES, needs_photographs, write_formats


@pytest.fixture(scope="module")
def formats(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    write_formats(folder)
    return folder


def pixels(path: Path) -> bytes:
    return open_rgb(path).tobytes()


def located(folder, name, cache, **options) -> DatasetConfig:
    data = DatasetConfig(annotations=str(folder / name), images=str(IMAGES), **options)
    return with_image_files(data, cache)


@needs_photographs
@pytest.mark.parametrize("name", ["messages.jsonl", "messages.parquet", "captions.parquet"])
def test_every_form_gives_the_samples_and_features_of_the_karpathy_file(
    name, formats, tmp_path, base
) -> None:
    from tests.images import features

    published = load_samples(located(formats, "karpathy.json", tmp_path), seed=0)
    columns = {"columns": COLUMNS} if name.startswith("captions") else {}
    same = load_samples(located(formats, name, tmp_path, **columns), seed=0)
    assert len(published) == 60
    assert [sample.turns for sample in same] == [sample.turns for sample in published]
    paths = [[s.images[0] for s in samples[::5]] for samples in (published, same)]
    assert [pixels(path) for path in paths[0]] == [pixels(path) for path in paths[1]]
    encoded = [[base.conversations.encode(s).input_ids for s in x[:10]] for x in (published, same)]
    assert encoded[0] == encoded[1]
    assert torch.equal(*(features(base, of_form[:2]) for of_form in paths))


@needs_photographs
@pytest.mark.parametrize("name", ["captions.jsonl", "captions.parquet"])
def test_every_form_gives_the_images_and_references_of_the_karpathy_file(
    name, formats, tmp_path
) -> None:
    files = {"task": "flickr8k", "images": str(IMAGES)}
    published = CaptioningConfig(annotations=str(formats / "karpathy.json"), **files)
    table = CaptioningConfig(annotations=str(formats / name), columns=COLUMNS, **files)
    same = with_image_files(table, tmp_path)
    for split in ("val", "test"):
        items = [load_captioned(select, split) for select in (published, same)]
        assert len(items[0]) == 4
        assert [i.references for i in items[0]] == [i.references for i in items[1]]
        assert [pixels(i.image) for i in items[0]] == [pixels(i.image) for i in items[1]]


@needs_photographs
def test_an_image_is_written_once_and_mended_when_it_is_damaged(formats, tmp_path) -> None:
    first = located(formats, "messages.parquet", tmp_path)
    assert Path(first.images).is_relative_to(tmp_path)
    files = sorted(path for path in Path(first.images).rglob("*") if path.is_file())
    assert len(files) == 12  # of 60 rows
    whole, written = files[0].read_bytes(), files[1].stat().st_mtime_ns
    files[0].write_bytes(whole[:-5])
    located(formats, "captions.parquet", tmp_path, columns=COLUMNS)
    assert files[0].read_bytes() == whole
    assert files[1].stat().st_mtime_ns == written
