"""Samples whose answers `max_length` cuts off."""

import json

import pytest

from lnt_core.accounting.answers import usable_samples
from lnt_core.config import DatasetConfig
from lnt_core.config.opening import Opening
from lnt_core.data.encoding import encode_samples
from lnt_core.data.image_sizes import ImageSizes
from lnt_core.data.samples import Sample, load_samples
from lnt_core.errors import DataError
from tests.parts import model_config

SHORT = Sample((), (("Q?", "A."),))
SIZES = ImageSizes(Opening())
LONG = Sample((), (("What is there? " * 199 + "What is there?", "A."),))


def test_what_has_no_answer_left_is_left_out_and_the_plan_counts_it(base, parts, tmp_path) -> None:
    samples = [SHORT, LONG, SHORT, LONG]
    encoded = list(encode_samples(base.conversations, samples, max_length=100))
    assert len(encoded) == 2
    turns = [
        {"from": who, "value": text}
        for sample in (SHORT, LONG)
        for who, text in zip(("human", "gpt"), sample.turns[0], strict=True)
    ]
    content = [{"conversations": turns[:2]}, {"conversations": turns[2:]}] * 2
    (tmp_path / "llava.json").write_text(json.dumps(content))
    data = DatasetConfig(annotations=str(tmp_path / "llava.json"), images=str(tmp_path))
    read = load_samples(data, seed=0)
    usable = usable_samples(model_config(parts), read, max_length=100, sizes=SIZES)
    assert (usable.samples, usable.cut_off) == ([SHORT] * 2, [LONG] * 2)
    assert not usable_samples(model_config(parts), read, max_length=10**5, sizes=SIZES).cut_off


def test_a_text_with_a_reserved_character_is_named_with_its_place(base) -> None:
    image = base.conversations.image_token
    turns = (("What?", f"A {image}."),)
    samples = [SHORT, Sample((), turns, "line 7"), Sample((), turns, "line 9")]
    told = f"a question or answer contains '{image}', the image token: "
    with pytest.raises(DataError, match=f"2 of 3 conv.*: line 7: {told}.*; line 9: {told}"):
        list(encode_samples(base.conversations, samples, max_length=100))


def test_no_answer_at_all_is_an_error(base) -> None:
    with pytest.raises(DataError, match="no conversation has an answer in its first 100 tokens"):
        list(encode_samples(base.conversations, [LONG], max_length=100))


def test_an_image_beyond_the_cut_is_refused_by_plan_and_trial(base, parts, scenes) -> None:
    """Else a trial would fail: there would be features of an image without its tokens."""
    image = load_samples(scenes.tune, seed=0)[0].images
    turns = (("Hi?", "Hello."), ("<image>\nWhat?", "A dog."))
    late, first = Sample(image, turns, "line 7"), Sample(image, turns[1:], "line 8")
    conversations = base.conversations
    ids = conversations.encode(late).input_ids
    last = max(at for at, token in enumerate(ids) if token == conversations.image_id)
    for max_length, lost in ((last, ["line 7"]), (last + 1, [])):
        usable = usable_samples(
            model_config(parts), [late, first], max_length=max_length, sizes=SIZES
        )
        assert [sample.name for sample in usable.without_image] == lost
    kept = encode_samples(conversations, [late, first], max_length=last + 1)
    tokens = [encoded.input_ids.count(conversations.image_id) for encoded in kept]
    assert tokens == [conversations.num_image_tokens] * 2
    with pytest.raises(DataError, match=f"line 7: it has an image beyond its first {last} tokens"):
        list(encode_samples(conversations, [late, first], max_length=last))
