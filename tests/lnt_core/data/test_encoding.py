"""Samples whose answers `max_length` cuts off."""

import json

import pytest

from lnt_core.accounting.answers import usable_samples
from lnt_core.config import DatasetConfig
from lnt_core.data.encoding import encode_samples
from lnt_core.data.samples import Sample, load_samples
from lnt_core.errors import DataError
from tests.parts import model_config

SHORT = Sample((), (("Q?", "A."),))
LONG = Sample((), (("What is there? " * 199 + "What is there?", "A."),))


def test_what_has_no_answer_left_is_left_out_and_the_plan_counts_it(base, parts, tmp_path) -> None:
    samples = [SHORT, LONG, SHORT, LONG]
    encoded = encode_samples(base.conversations, samples, max_length=100)
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
    usable = usable_samples(model_config(parts), read, max_length=100)
    assert (usable.samples, usable.cut_off) == ([SHORT] * 2, [LONG] * 2)
    assert usable_samples(model_config(parts), read, max_length=10**5).cut_off == []


def test_a_text_with_a_reserved_character_is_named_with_its_place(base) -> None:
    image = base.conversations.image_token
    turns = (("What?", f"A {image}."),)
    samples = [SHORT, Sample((), turns, "line 7"), Sample((), turns, "line 9")]
    told = f"a question or answer contains '{image}', the image token: "
    with pytest.raises(DataError, match=f"2 of 3 conv.*: line 7: {told}.*; line 9: {told}"):
        encode_samples(base.conversations, samples, max_length=100)


def test_no_answer_at_all_is_an_error(base) -> None:
    with pytest.raises(DataError, match="no conversation has an answer in its first 100 tokens"):
        encode_samples(base.conversations, [LONG], max_length=100)
