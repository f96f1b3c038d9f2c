"""The cache of the vision tower's features."""

import copy
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image

from lnt_core.config.opening import Opening
from lnt_core.data.samples import load_samples
from lnt_core.errors import DataError
from lnt_core.models.features import FeatureStore


def pixels(store, groups):
    return store.get(groups)["pixel_values"]


def test_an_image_goes_through_the_tower_once(base, scenes, monkeypatch) -> None:
    groups = [sample.images for sample in load_samples(scenes.tune, seed=0)[:10]]
    store, asked = FeatureStore(base, max_bytes=2**20), []
    real = type(base).through_tower
    monkeypatch.setattr(
        type(base), "through_tower", lambda self, g: asked.append(g) or real(self, g)
    )
    first, again = pixels(store, groups), pixels(store, groups)
    assert first.equal(again)
    assert len(asked) == len(set(groups)) == 2


def test_a_full_store_computes_again_and_gives_the_same(base, scenes) -> None:
    groups = sorted({sample.images for sample in load_samples(scenes.tune, seed=0)})
    roomy, full = FeatureStore(base, max_bytes=2**20), FeatureStore(base, max_bytes=0)
    assert pixels(full, groups).equal(pixels(roomy, groups))
    assert pixels(full, groups[:1]).equal(pixels(roomy, groups)[:1])


def test_a_store_opens_images_in_one_way(base, scenes, tmp_path) -> None:
    stored = Image.open(load_samples(scenes.tune, seed=0)[0].images[0])
    exif = Image.Exif()
    exif[0x0112] = 3
    stored.save(tmp_path / "turned.png", exif=exif)
    stored.save(tmp_path / "stored.png")
    stored.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "upright.png")
    turned, as_stored, upright = (
        [(tmp_path / f"{name}.png",)] for name in ("turned", "stored", "upright")
    )
    applied = FeatureStore(base, max_bytes=2**20)
    ignored = FeatureStore(base, max_bytes=2**20, opening=Opening(exif_orientation=False))
    assert pixels(applied, turned).equal(pixels(applied, upright))
    assert pixels(ignored, turned).equal(pixels(ignored, as_stored))
    assert not pixels(applied, turned).equal(pixels(ignored, turned))


def test_conversations_without_images_have_no_inputs(base) -> None:
    assert FeatureStore(base, max_bytes=0).get([(), ()]) == {}


def counted(store, monkeypatch) -> list:
    """What goes through the tower of a store's model, from now on."""
    asked, kind = [], type(store._base)
    real = kind.through_tower
    monkeypatch.setattr(kind, "through_tower", lambda self, g: asked.append(g) or real(self, g))
    return asked


def some_groups(scenes, n=10):
    return sorted({sample.images for sample in load_samples(scenes.tune, seed=0)})[:n]


def test_another_store_finds_what_one_has_kept_to_the_bit(
    base, scenes, tmp_path, monkeypatch
) -> None:
    groups = some_groups(scenes)
    first = pixels(FeatureStore(base, max_bytes=2**20, folder=tmp_path), groups)
    store = FeatureStore(base, max_bytes=2**20, folder=tmp_path)
    asked = counted(store, monkeypatch)
    again = pixels(store, groups)
    assert not asked
    assert again.equal(first)
    assert again.dtype == first.dtype


def test_a_changed_image_is_computed_anew(base, scenes, tmp_path) -> None:
    one, other = some_groups(scenes, 2)
    path = tmp_path / "image.png"
    store = FeatureStore(base, max_bytes=2**20, folder=tmp_path / "features")
    path.write_bytes(one[0].read_bytes())
    assert pixels(store, [(path,)]).equal(pixels(store, [one]))
    path.write_bytes(other[0].read_bytes())
    assert pixels(store, [(path,)]).equal(pixels(store, [other]))
    assert not pixels(store, [one]).equal(pixels(store, [other]))


def test_other_weights_of_the_tower_have_other_features(base, scenes, tmp_path) -> None:
    groups = some_groups(scenes, 1)
    before = pixels(FeatureStore(base, max_bytes=2**20, folder=tmp_path), groups)
    other = replace(base, model=copy.deepcopy(base.model))
    with torch.no_grad():
        next(other.tower.parameters()).add_(0.5)
    after = pixels(FeatureStore(other, max_bytes=2**20, folder=tmp_path), groups)
    assert not after.equal(before)
    assert after.equal(pixels(FeatureStore(other, max_bytes=0), groups))


def test_other_number_formats_have_other_features(base, scenes, tmp_path, monkeypatch) -> None:
    groups = some_groups(scenes, 1)
    store = FeatureStore(base, max_bytes=2**20, folder=tmp_path)
    asked = counted(store, monkeypatch)
    pixels(store, groups)
    torch.set_float32_matmul_precision("high")
    try:
        pixels(store, groups)
    finally:
        torch.set_float32_matmul_precision("highest")
    pixels(store, groups)
    assert len(asked) == 2


def test_an_image_that_is_gone_is_named(base, tmp_path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: there is no such file"):
        FeatureStore(base, max_bytes=2**20).get([(tmp_path / "gone.png",)])


def filler(parts, folder, groups, *options) -> subprocess.Popen:
    """A process that fills a store once it is told to; see fill_worker.py."""
    command = [sys.executable, "-m", "tests.lnt_core.models.fill_worker", *parts, str(folder)]
    images = [str(path) for group in groups for path in group]
    return subprocess.Popen(
        [*command, *options, *images],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"FILL_THREADS": str(torch.get_num_threads())},
    )


def through_the_tower(processes) -> list[str]:
    """Let processes fill at once; the images that went through their towers."""
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [line for process in processes for line in process.communicate()[0].splitlines()]


@pytest.mark.heavy
def test_processes_that_fill_at_once_compute_each_image_once(
    base, parts, scenes, tmp_path, monkeypatch
) -> None:
    groups = some_groups(scenes)
    done = through_the_tower([filler(parts, tmp_path, groups) for _ in range(3)])
    assert len(done) == len(groups) > 5
    store = FeatureStore(base, max_bytes=2**20, folder=tmp_path)  # the fourth, later
    asked = counted(store, monkeypatch)
    found = pixels(store, groups)
    assert not asked
    assert found.equal(pixels(FeatureStore(base, max_bytes=0), groups))


@pytest.mark.heavy
@pytest.mark.parametrize("where", ["tower", "rename"])
def test_a_process_that_is_killed_leaves_no_wrong_feature_and_no_claim(
    base, parts, scenes, tmp_path, monkeypatch, where
) -> None:
    groups = some_groups(scenes)
    process = filler(parts, tmp_path, groups, f"--die-at={where}")
    through_the_tower([process])
    assert process.returncode == -9
    store = FeatureStore(base, max_bytes=2**20, folder=tmp_path)
    asked = counted(store, monkeypatch)
    found = pixels(store, groups)
    assert len(asked) == len(groups) - 2  # it has kept two, and died with the third
    assert found.equal(pixels(FeatureStore(base, max_bytes=0), groups))
