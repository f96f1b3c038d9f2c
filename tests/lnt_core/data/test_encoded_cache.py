"""Encoded conversations are made once, and anew whenever anything they depend on has changed."""

import copy
import json
import logging
import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lnt_core import cached
from lnt_core.config import DatasetConfig, ModelConfig
from lnt_core.config.opening import Opening
from lnt_core.data import encoded_cache
from lnt_core.data.encoded_cache import encoded_samples
from lnt_core.data.encoding import encode_samples
from lnt_core.data.samples import load_samples
from lnt_core.errors import DataError
from lnt_core.models.build import load_base
from lnt_core.worker import Worker
from tests.damage import WAYS, set_aside
from tests.vlm_checkpoints import PICTURES, save

MAX_LENGTH = 400
LONG = "What is there? " * 200


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """Grows whenever conversations are encoded, as by processes that have checked no folder yet."""
    counted, encode = [], encoded_cache.encode_samples

    def counting(*given, **options):
        counted.append(1)
        return encode(*given, **options)

    monkeypatch.setattr(encoded_cache, "encode_samples", counting)
    monkeypatch.setattr(cached, "_checked", set())
    return counted


@pytest.fixture
def data(tmp_path) -> DatasetConfig:
    """With an image, or none; of one turn, or two; and one that is too long."""
    for name, picture in zip(("wide.png", "high.png"), PICTURES, strict=True):
        picture.save(tmp_path / name)
    one = {"image": "wide.png", "conversations": _turns("<image>\nWhat?", "A cat.", "And?", "No.")}
    other = {"image": "high.png", "conversations": _turns("<image>\nWhat?", "Two dogs \u00e9.")}
    none, long = ({"conversations": _turns(asked, "Yes.")} for asked in ("Hi?", LONG))
    (tmp_path / "llava.json").write_text(json.dumps([one, other, none, long]))
    return DatasetConfig(annotations=str(tmp_path / "llava.json"), images=str(tmp_path))


def _turns(*said: str) -> list[dict]:
    return [
        {"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(said)
    ]


def directly(data, conversations, *, max_length=MAX_LENGTH):
    return list(encode_samples(conversations, load_samples(data, seed=0), max_length=max_length))


@pytest.fixture
def encoded(tmp_path):
    """What the cache gives, as a list."""

    def get(data, conversations, *, seed=0, max_length=MAX_LENGTH):
        cache = tmp_path / "cache"
        return encoded_samples(data, conversations, seed=seed, max_length=max_length, cache=cache)

    return get


def test_it_is_what_encoding_gives_and_is_made_once(
    base, data, encoded, made, caplog, monkeypatch
) -> None:
    expected = directly(data, base.conversations)
    assert list(encoded(data, base.conversations)) == expected
    told = "1 of 4 conversations have no answer in their first 400 tokens: left out"
    assert caplog.messages == [told]

    def never(*_, **__):
        raise AssertionError("the annotations are read again")

    monkeypatch.setattr(encoded_cache, "load_samples", never)
    cached._checked.clear()
    assert list(encoded(data, base.conversations)) == expected
    assert caplog.messages == [told] * 2
    assert len(made) == 1


def test_drawn_scenes_are_the_same(base, scenes, encoded) -> None:
    assert list(encoded(scenes.tune, base.conversations)) == directly(
        scenes.tune, base.conversations
    )


def test_a_second_worker_does_not_encode(trial_config, tmp_path, made) -> None:
    config = trial_config()
    one, other = (Worker(tmp_path).prepare(config).samples for _ in range(2))
    assert len(made) == 1
    assert list(one) == list(other)


def test_it_is_made_anew_where_anything_has_changed(base, data, encoded, made) -> None:
    conversations = base.conversations
    encoded(data, conversations)
    encoded(data, conversations, seed=1)  # by which nothing is drawn
    assert len(made) == 1
    assert list(encoded(data, conversations, max_length=60)) == directly(
        data, conversations, max_length=60
    )
    some = data.model_copy(update={"num_samples": 2})
    seeds = [list(encoded(some, conversations, seed=seed)) for seed in range(4)]
    assert len(made) == 6
    assert any(seed != seeds[0] for seed in seeds)
    vicuna = replace(conversations, style="vicuna_v1")
    assert list(encoded(data, vicuna)) == directly(data, vicuna)
    tokenizer = copy.deepcopy(conversations.tokenizer)
    tokenizer.add_tokens(["What"])
    other = replace(conversations, tokenizer=tokenizer)
    assert list(encoded(data, other)) == directly(data, other)
    assert directly(data, other) != directly(data, conversations)
    file = Path(data.annotations)
    file.write_text(json.dumps(json.loads(file.read_text())[1:]))
    assert list(encoded(data, conversations)) == directly(data, conversations)
    assert len(made) == 9


def test_a_tokenizer_that_has_padded_is_the_same(base, data, encoded, made) -> None:
    encoded(data, base.conversations)
    base.conversations.tokenizer(["a", "a b c d"], padding=True, truncation=True, max_length=3)
    encoded(data, base.conversations)
    assert len(made) == 1


@pytest.mark.parametrize("way", WAYS)
def test_damaged_files_are_set_aside_and_made_anew(
    way, base, data, encoded, made, tmp_path
) -> None:
    whole = list(encoded(data, base.conversations))
    (folder,) = (tmp_path / "cache" / "encoded").iterdir()
    WAYS[way](folder / "input_ids.npy", random.Random(1))
    cached._checked.clear()
    assert list(encoded(data, base.conversations)) == whole
    assert len(made) == 2
    assert set_aside(tmp_path / "cache") == [f"{folder.name}.damaged-1"]


def test_nothing_is_kept_after_an_error(base, data, encoded, tmp_path) -> None:
    with pytest.raises(DataError, match="no conversation has an answer in its first 2 tokens"):
        encoded(data, base.conversations, max_length=2)
    assert not list((tmp_path / "cache" / "encoded").iterdir())


def test_an_image_that_is_mended_is_taken_where_bad_ones_are_left_out(
    base, data, encoded, tmp_path
) -> None:
    lenient = data.model_copy(update={"skip_bad": 1})
    shutil.move(tmp_path / "high.png", tmp_path / "away.png")
    assert len(encoded(lenient, base.conversations)) == 2
    shutil.move(tmp_path / "away.png", tmp_path / "high.png")
    assert list(encoded(lenient, base.conversations)) == directly(data, base.conversations)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "gemma3", "llava_next"])
def test_a_changed_image_is_encoded_anew_by_a_model_whose_tokens_depend_on_it(
    family, data, encoded, made, tmp_path
) -> None:
    folder = save(family, tmp_path / "checkpoint")
    conversations = load_base(ModelConfig(checkpoint=folder), cache=tmp_path).conversations
    assert conversations.sees_images
    before = list(encoded(data, conversations, max_length=2000))
    assert before == directly(data, conversations, max_length=2000)
    again = load_base(ModelConfig(checkpoint=folder), cache=tmp_path).conversations
    assert list(encoded(data, again, max_length=2000)) == before
    assert len(made) == 1
    Image.new("RGB", (300, 40)).save(tmp_path / "wide.png")
    after = list(encoded(data, conversations, max_length=2000))
    assert after == directly(data, conversations, max_length=2000)
    assert (len(made), len(list((tmp_path / "cache" / "encoded").iterdir()))) == (2, 1)
    scaled = replace(conversations, opening=Opening(max_pixels=400))
    assert list(encoded(data, scaled, max_length=2000)) == directly(data, scaled, max_length=2000)
    assert len(made) == 3


def test_one_that_learns_from_a_suffix(data, encoded, made, tmp_path) -> None:
    content = json.loads((tmp_path / "llava.json").read_text())
    (tmp_path / "llava.json").write_text(json.dumps([content[1]] * 2))
    folder = save("paligemma2", tmp_path / "checkpoint")
    conversations = load_base(ModelConfig(checkpoint=folder), cache=tmp_path).conversations
    for _ in range(2):
        assert list(encoded(data, conversations)) == directly(data, conversations)
    assert len(made) == 1


@pytest.mark.heavy
def test_two_processes_at_once_make_it_once(base, data, encoded, tmp_path, monkeypatch) -> None:
    encode, told = encoded_cache.encode_samples, tmp_path / "told"

    def slowly(*given, **options):
        with told.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.5)
        return encode(*given, **options)

    monkeypatch.setattr(encoded_cache, "encode_samples", slowly)
    expected = directly(data, base.conversations)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            logging.disable()
            os._exit(0 if list(encoded(data, base.conversations)) == expected else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert (codes, len(told.read_text().splitlines())) == ([0, 0], 1)
    assert len(list((tmp_path / "cache" / "encoded").iterdir())) == 1
