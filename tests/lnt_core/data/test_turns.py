"""Conversations as people have them: turns that do not alternate."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lnt_core.config import DataConfig, DatasetConfig
from lnt_core.data.samples import load_samples, read_samples
from lnt_core.data.turns import LATE_SYSTEM, LEADING, UNANSWERED, turns_of
from lnt_core.errors import DataError

H, G, S = "human", "gpt", "system"


def item(*turns: tuple[str, str], **more) -> dict:
    return {"conversations": [{"from": who, "value": text} for who, text in turns], **more}


@pytest.mark.parametrize(
    ("said", "turns", "left_out"),
    [
        ([(H, "Q"), (G, "A")], (("Q", "A"),), ()),
        ([(G, "Hi"), (H, "Q"), (G, "A")], (("Q", "A"),), (LEADING,)),
        ([(H, "Q"), (G, "A"), (S, "Be kind"), (H, "?")], (("Q", "A"),), (LATE_SYSTEM, UNANSWERED)),
        ([(H, "Q"), (G, "A"), (H, "And?")], (("Q", "A"),), (UNANSWERED,)),
        (
            [(S, "S"), (G, "Hi"), (H, "Q"), (G, "A"), (H, "?")],
            (("Q", "A"),),
            (LEADING, UNANSWERED),
        ),
    ],
)
def test_what_llava_itself_skips_is_left_out(said, turns, left_out) -> None:
    read = turns_of(said)
    assert (read.turns, read.left_out, read.unusable) == (turns, left_out, "")
    assert read.system == (said[0][1] if said[0][0] == S else "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([(G, "Hm.")], "it has no question with an answer"),
        ([(H, "Q")], "it has no question with an answer"),
        ([], "it has no question with an answer"),
        ([(H, "Q"), (H, "Q"), (G, "A")], "its turns do not alternate: human, human, gpt"),
        ([(H, "Q"), (G, " \n")], "an answer is blank"),
        ([("bot", "Q"), (G, "A")], "`from` is 'bot', but must be human or gpt"),
    ],
)
def test_what_cannot_be_learnt_is_told(said, why) -> None:
    read = turns_of(said)
    assert (read.turns, read.unusable) == ((), why)


def write(folder, content, **options) -> DatasetConfig:
    (folder / "llava.json").write_text(json.dumps(content))
    return DatasetConfig(annotations=str(folder / "llava.json"), images=str(folder), **options)


def test_as_many_unusable_samples_as_allowed_are_left_out(tmp_path) -> None:
    good, bad = item((H, "Q"), (G, "A"), id="good"), item((G, "Hm."), id="bad")
    lost = item((H, "<image>\nQ"), (G, "A"), id="lost", image="none.jpg")
    content = [good, bad, lost]
    with pytest.raises(DataError, match=r"1 of 3 samples cannot be used: entry \[1\], id 'bad'"):
        load_samples(write(tmp_path, content), seed=0)  # the image is told by the check
    with pytest.raises(DataError, match=r"2 of 3 samples .* `skip_bad: 2`"):
        load_samples(write(tmp_path, content, skip_bad=1), seed=0)
    read = read_samples(write(tmp_path, content, skip_bad=2))
    assert [sample.turns for sample in read.samples] == [(("Q", "A"),)]
    assert len(read.left_out) == 2
    assert "none.jpg" in read.left_out[1]


def test_skip_bad_of_the_data_holds_for_both_stages(tmp_path) -> None:
    files = {"annotations": "a.json", "images": "images"}
    select = {"task": "coco", **files}
    both = DataConfig.model_validate(
        {"align": files, "tune": files | {"skip_bad": 1}, "select": select, "skip_bad": 5}
    )
    assert (both.align.skip_bad, both.tune.skip_bad) == (5, 1)
    with pytest.raises(ValueError, match="skip_bad"):
        DataConfig.model_validate({"scenes": {}, "skip_bad": 5})


TURN = st.tuples(st.sampled_from([H, G, S, "bot"]), st.sampled_from(["", " ", "Q", "A\nB", "狗"]))


@settings(max_examples=300)
@given(st.lists(st.lists(TURN, max_size=6), min_size=1, max_size=6), st.integers(0, 6))
def test_any_file_is_read_or_refused_in_one_message(tmp_path_factory, said, skip_bad) -> None:
    folder = tmp_path_factory.mktemp("any")
    data = write(folder, [item(*turns) for turns in said], skip_bad=skip_bad)
    unusable = [bool(turns_of(turns).unusable) for turns in said]
    if sum(unusable) > skip_bad:
        with pytest.raises(DataError, match=f"{sum(unusable)} of {len(said)} samples cannot"):
            read_samples(data)
        return
    read = read_samples(data)
    assert len(read.samples) + len(read.left_out) == len(said)
    assert all(answer for sample in read.samples for _, answer in sample.turns)
