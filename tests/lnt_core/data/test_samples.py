"""The published layouts, batches of them, and real photographs."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnt_core.config import DatasetConfig, SelectConfig
from lnt_core.data.batches import collate, sample_order
from lnt_core.data.check import image_problems
from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.data.samples import load_captioned, load_samples
from lnt_core.errors import DataError
from lnt_core.models.features import FeatureStore

ROOT = Path(__file__).parents[3]
REAL = Path(os.environ.get("LNT_REAL_DATA", ROOT.parent / "shared" / "data" / "flickr8k"))


def write(path: Path, content) -> DatasetConfig:
    path.write_text(json.dumps(content))
    return DatasetConfig(annotations=str(path), images="images")


def karpathy(*items) -> dict:
    return {
        "images": [
            {"filename": name, "split": split, "sentences": [{"raw": r} for r in raw], **more}
            for name, split, raw, more in items
        ]
    }


def test_every_caption_is_a_sample_and_restval_joins_train(tmp_path) -> None:
    content = karpathy(
        ("a.jpg", "train", ["one", "two "], {"filepath": "train2014"}),
        ("b.jpg", "restval", ["three"], {"filepath": "val2014"}),
        ("c.jpg", "test", ["four"], {"filepath": "val2014"}),
    )
    samples = load_samples(write(tmp_path / "coco.json", content), seed=0)
    assert [sample.turns[0][1] for sample in samples] == ["one", "two", "three"]
    assert samples[2].image == Path("images/val2014/b.jpg")


def test_llava_conversations_keep_their_turns(tmp_path) -> None:
    said = [("human", "What?\n<image>"), ("gpt", "A dog."), ("human", "Why?"), ("gpt", "Fun.")]
    turns = [{"from": speaker, "value": text} for speaker, text in said]
    content = [
        {"id": "1", "image": "a.jpg", "conversations": turns},
        {"id": "2", "conversations": turns[2:]},
    ]
    first, second = load_samples(write(tmp_path / "llava.json", content), seed=0)
    assert first.turns == (("<image>\nWhat?", "A dog."), ("Why?", "Fun."))
    assert first.image == Path("images/a.jpg")
    assert second.image is None
    assert second.turns == (("Why?", "Fun."),)


def test_a_conversation_out_of_turn_is_refused(tmp_path) -> None:
    content = [{"id": "7", "conversations": [{"from": "gpt", "value": "Hm."}]}]
    with pytest.raises(DataError, match=r"conversation '7' must alternate human, gpt"):
        load_samples(write(tmp_path / "llava.json", content), seed=0)


def test_a_subset_is_drawn_by_the_seed(scenes) -> None:
    some = scenes.tune.model_copy(update={"num_samples": 5})
    assert load_samples(some, seed=1) == load_samples(some, seed=1)
    assert load_samples(some, seed=1) != load_samples(some, seed=2)
    assert len(load_samples(some, seed=1)) == 5


def test_each_epoch_sees_every_sample_once_in_an_order_of_its_own() -> None:
    stream = sample_order(10, seed=0)
    epochs = [[next(stream) for _ in range(10)] for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=9), min_size=1, max_size=4))
def test_padding_taken_off_again_gives_the_samples(rows) -> None:
    samples = [Encoded(tuple(row), tuple(row), None) for row in rows]
    batch = collate(samples, pad_id=0, store=None)
    for index, row in enumerate(rows):
        mask = batch.attention_mask[index].bool()
        assert batch.input_ids[index][mask].tolist() == row
        assert batch.labels[index][~mask].tolist() == [IGNORE] * int((~mask).sum())


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


def test_bad_images_are_told_apart(tmp_path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "text.jpg").write_text("not an image")
    names = ["text.jpg", "gone.jpg", "../out.jpg"]
    problems = image_problems("data.tune", str(folder), [folder / name for name in names])
    assert problems == [
        f"data.tune.images: 1 image outside the folder {folder}: ../out.jpg",
        f"data.tune.images: 1 image not in the folder {folder}: gone.jpg",
        f"data.tune.images: 1 image that cannot be decoded in {folder}: text.jpg",
    ]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real photographs at {REAL}")
def test_real_photographs_load_and_decode() -> None:
    files = {
        "annotations": str(REAL / "dataset_flickr8k.json"),
        "images": str(REAL / "images"),
    }
    assert len(load_samples(DatasetConfig(**files), seed=0)) == 450 * 5
    select = SelectConfig(task="flickr8k", **files)
    assert [len(load_captioned(select, split)) for split in ("val", "test")] == [50, 100]
    images = [item.image for item in load_captioned(select, "test")]
    assert image_problems("data.select", files["images"], images) == []
