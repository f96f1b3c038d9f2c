"""The cache of the vision tower's features."""

from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore


def test_an_image_goes_through_the_tower_once(base, scenes, monkeypatch) -> None:
    paths = [sample.image for sample in load_samples(scenes.tune, seed=0)[:10]]
    store, asked = FeatureStore(base, max_bytes=2**20), []
    real = type(base).image_features
    monkeypatch.setattr(
        type(base), "image_features", lambda self, p: asked.extend(p) or real(self, p)
    )
    first, again = store.get(paths), store.get(paths)
    assert first.equal(again)
    assert len(asked) == len(set(paths)) == 2


def test_a_full_store_computes_again_and_gives_the_same(base, scenes) -> None:
    paths = sorted({sample.image for sample in load_samples(scenes.tune, seed=0)})
    roomy, full = FeatureStore(base, max_bytes=2**20), FeatureStore(base, max_bytes=0)
    assert full.get(paths).allclose(roomy.get(paths), atol=1e-6)
