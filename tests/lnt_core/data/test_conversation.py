"""Which tokens are learnt, in every style."""

import tracemalloc
from pathlib import Path

import pytest

from lnt_core.data.conversation import IGNORE, VICUNA_SYSTEM, Conversations, Encoded
from lnt_core.data.samples import Sample
from lnt_core.errors import DataError

TURNS = (("<image>\nWhat is there?", "A large red circle."), ("Where?", "On sand."))


@pytest.fixture
def conversations(base):
    def make(style: str) -> Conversations:
        return Conversations(style, base.conversations.tokenizer, "<image>", 16)

    return make


@pytest.mark.parametrize("style", ["plain", "vicuna_v1"])
def test_only_answers_and_their_ends_are_labels(style, conversations) -> None:
    made = conversations(style)
    encoded = made.encode(Sample((Path("x.png"),), TURNS))
    learnt = [label for label in encoded.labels if label != IGNORE]
    blank = " " if style == "vicuna_v1" else ""
    answers = "".join(f"{blank}{answer}</s>" for _, answer in TURNS)
    assert made.tokenizer.decode(learnt) == answers
    assert all(
        label in (IGNORE, i) for i, label in zip(encoded.input_ids, encoded.labels, strict=True)
    )


def test_vicuna_is_llavas_template(conversations) -> None:
    text = conversations("vicuna_v1").prompt_text("What?", examples=(("Q?", "A."),))
    assert text == f"{VICUNA_SYSTEM} USER: Q? ASSISTANT: A.</s>USER: <image>\nWhat? ASSISTANT:"


def test_a_prompt_is_the_beginning_of_the_conversation(conversations) -> None:
    made = conversations("plain")
    prompt = list(made.encode_prompt("What?", [Path("x.png")]).input_ids)
    whole = made.encode(Sample((Path("x.png"),), (("<image>\nWhat?", "A dog."),)))
    assert list(whole.input_ids[: len(prompt)]) == prompt
    assert whole.labels[len(prompt)] != IGNORE


def test_a_conversation_is_cut_at_the_length_asked_for(conversations) -> None:
    assert (
        len(conversations("plain").encode(Sample((Path("x"),), TURNS), max_length=20).labels) == 20
    )


def test_text_that_holds_the_image_token_is_refused(conversations) -> None:
    with pytest.raises(DataError, match="contains '<image>', the image token"):
        conversations("plain").encode(Sample((), (("What?", "An <image> of a dog."),)))


def test_nothing_is_learnt_of_a_label_on_the_first_token_alone() -> None:
    assert not Encoded((5, 6), (5, IGNORE)).is_learnt
    assert Encoded((5, 6), (IGNORE, 6)).is_learnt


def test_a_token_takes_eight_bytes_with_its_label() -> None:
    """32 bits each: a token id and a label; integers of Python take several times as much."""
    ids = range(70_000, 71_000)
    tracemalloc.start()
    kept = [Encoded(list(ids), list(ids)) for _ in range(10)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / sum(len(one.input_ids) for one in kept) < 9


def test_arrays_keep_every_value_and_compare_by_it() -> None:
    one = Encoded((2**31 - 1, 5), (IGNORE, 5), extras={"token_type_ids": [0, 1]})
    assert one == Encoded([2**31 - 1, 5], [IGNORE, 5], extras={"token_type_ids": (0, 1)})
    assert list(one.cut(1).input_ids) == [2**31 - 1]
    assert list(one.cut(1).extras["token_type_ids"]) == [0]
    with pytest.raises(OverflowError):
        Encoded([2**31], [0])
