"""The published layouts, and real photographs."""

import json
import os
from pathlib import Path

import pytest

from lnt_core.config import CaptioningConfig, DatasetConfig
from lnt_core.data.check import image_problems
from lnt_core.data.samples import load_captioned, load_samples
from lnt_core.errors import DataError

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
    told = r"1 of 1 samples cannot be used: entry \[0\], id '7': it has no question with an answer"
    with pytest.raises(DataError, match=told):
        load_samples(write(tmp_path / "llava.json", content), seed=0)


def test_a_subset_is_drawn_by_the_seed(scenes) -> None:
    some = scenes.tune.model_copy(update={"num_samples": 5})
    assert load_samples(some, seed=1) == load_samples(some, seed=1)
    assert load_samples(some, seed=1) != load_samples(some, seed=2)
    assert len(load_samples(some, seed=1)) == 5


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real photographs at {REAL}")
def test_real_photographs_load_and_decode() -> None:
    files = {
        "annotations": str(REAL / "dataset_flickr8k.json"),
        "images": str(REAL / "images"),
    }
    assert len(load_samples(DatasetConfig(**files), seed=0)) == 450 * 5
    select = CaptioningConfig(task="flickr8k", **files)
    assert [len(load_captioned(select, split)) for split in ("val", "test")] == [50, 100]
    images = [item.image for item in load_captioned(select, "test")]
    assert image_problems("data.select", files["images"], images) == []
