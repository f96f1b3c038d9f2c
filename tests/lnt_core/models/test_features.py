"""The cache of the vision tower's features."""

from PIL import Image

from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore


def pixels(store, groups):
    return store.get(groups)["pixel_values"]


def test_an_image_goes_through_the_tower_once(base, scenes, monkeypatch) -> None:
    groups = [sample.images for sample in load_samples(scenes.tune, seed=0)[:10]]
    store, asked = FeatureStore(base, max_bytes=2**20), []
    real = type(base).image_inputs
    monkeypatch.setattr(
        type(base), "image_inputs", lambda self, g: asked.extend(g) or real(self, g)
    )
    first, again = pixels(store, groups), pixels(store, groups)
    assert first.equal(again)
    assert len(asked) == len(set(groups)) == 2


def test_a_full_store_computes_again_and_gives_the_same(base, scenes) -> None:
    groups = sorted({sample.images for sample in load_samples(scenes.tune, seed=0)})
    roomy, full = FeatureStore(base, max_bytes=2**20), FeatureStore(base, max_bytes=0)
    assert pixels(full, groups).allclose(pixels(roomy, groups), atol=1e-6)


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
    ignored = FeatureStore(base, max_bytes=2**20, exif_orientation=False)
    assert pixels(applied, turned).equal(pixels(applied, upright))
    assert pixels(ignored, turned).equal(pixels(ignored, as_stored))
    assert not pixels(applied, turned).equal(pixels(ignored, turned))


def test_conversations_without_images_have_no_inputs(base) -> None:
    assert FeatureStore(base, max_bytes=0).get([(), ()]) == {}
