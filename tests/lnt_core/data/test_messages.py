"""What the rows of tables say, in the ways that TRL, ms-swift and LLaMA-Factory take."""

import pytest

from lnt_core.config import CAPTION_PROMPT, ColumnsConfig
from lnt_core.data.messages import entry_of
from lnt_core.errors import DataError

CHAT = ColumnsConfig(messages="messages", images="images")
PAIRS = ColumnsConfig(images="image", question="question", answer="answer")
TEXT = {"type": "text", "text": "Which?"}
ANSWER = {"role": "assistant", "content": "A."}


def asked(content) -> list[dict]:
    return [{"role": "user", "content": content}, ANSWER]


@pytest.mark.parametrize(
    ("row", "question", "images"),
    [
        ({"messages": asked("<image>Which?"), "images": ["a.jpg"]}, "<image>Which?", ("a.jpg",)),
        ({"messages": asked("Which?")}, "Which?", ()),
        ({"messages": asked("Which?"), "images": None}, "Which?", ()),
        (
            {"messages": asked([{"type": "image"}, TEXT]), "images": ["a.jpg"]},
            "<image>Which?",
            ("a.jpg",),
        ),
        (  # as Arrow stores parts: every key in every part
            {
                "messages": asked([{"type": "image", "text": None}, {**TEXT, "image": None}]),
                "images": [{"bytes": b"png", "path": "a.jpg"}],
            },
            "<image>Which?",
            (b"png",),
        ),
        (
            {"messages": asked([TEXT, {"type": "image", "image": "file:///d/a.jpg"}])},
            "Which?<image>",
            ("/d/a.jpg",),
        ),
        (
            {"messages": asked([{"type": "image", "path": "a.jpg"}, TEXT])},
            "<image>Which?",
            ("a.jpg",),
        ),
        (
            {"messages": asked([{"type": "image_url", "image_url": {"url": "a.jpg"}}, TEXT])},
            "<image>Which?",
            ("a.jpg",),
        ),
        (
            {"messages": asked("Which?"), "images": [{"path": "a.jpg", "bytes": None}, "b.jpg"]},
            "Which?",
            ("a.jpg", "b.jpg"),
        ),
    ],
)
def test_a_conversation_has_its_question_and_images(row, question, images) -> None:
    entry = entry_of(row, CHAT)
    assert entry.conversations == (((question, "A."),),)
    assert entry.images == images
    assert not entry.image_first


def test_sharegpt_is_llavas_layout() -> None:
    said = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A."}]
    entry = entry_of({"messages": said}, CHAT)
    assert entry.conversations == ((("Q", "A."),),)
    assert entry.image_first


def test_a_system_turn_is_read_unless_it_has_an_image() -> None:
    def with_system(*parts: dict):
        return entry_of({"messages": [{"role": "system", "content": [*parts]}, *asked("Q")]}, CHAT)

    kind = {"type": "text", "text": "Be kind."}
    entry = with_system(kind)
    assert (entry.conversations, entry.left_out) == (((("Q", "A."),),), ())
    assert entry.system == "Be kind."
    with pytest.raises(DataError, match="its system turn contains '<image>'"):
        with_system(kind, {"type": "image"})


def test_each_answer_is_a_sample_of_the_same_images() -> None:
    row = {"image": "a.jpg", "question": " What? ", "answer": ["A.", " B. "]}
    entry = entry_of(row, PAIRS)
    assert entry.images == ("a.jpg",)
    assert entry.conversations == ((("What?", "A."),), (("What?", "B."),))
    captions = entry_of(row, PAIRS.model_copy(update={"question": None}))
    assert captions.conversations[0] == ((CAPTION_PROMPT, "A."),)


IMAGE_WANTED = "but must be a path or an image"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "its messages is None, but must be a list of messages"),
        ({"messages": "Q"}, "its messages is 'Q', but must be a list of messages"),
        ({"messages": ["Q"]}, "its messages is ['Q'], but must be a list of messages"),
        ({"messages": []}, "it has no question with an answer"),
        ({"messages": [{"content": "Q"}]}, "`role` of a message is None, but must be a text"),
        (
            {"messages": [{"role": "tool", "content": "Q"}]},
            "`role` is 'tool', but must be user or assistant",
        ),
        (
            {"messages": asked(None)},
            "a message says None, but must say a text or a list of parts",
        ),
        (
            {"messages": asked([{"type": "video", "video": "a.mp4"}])},
            "a part of a message is {'type': 'video', 'video': 'a.mp4'}, but must be text or image",
        ),
        ({"messages": asked("Q"), "videos": ["a.mp4"]}, "it has videos, which cannot be learnt"),
        ({"messages": asked("Q"), "images": 7}, f"its image is 7, {IMAGE_WANTED}"),
        ({"messages": asked("Q"), "images": ["a", None]}, f"its image is None, {IMAGE_WANTED}"),
        ({"messages": asked("Q"), "images": [{}]}, f"its image is {{}}, {IMAGE_WANTED}"),
        (
            {"messages": asked("Q"), "images": ["https://x/a.jpg"]},
            "its image is 'https://x/a.jpg': only images in files, or in a table of `datasets`, "
            "are read; save it and give its path",
        ),
        (
            {"messages": asked([{"type": "image", "path": "b"}, TEXT]), "images": ["a"]},
            "it has images both in its messages and in a column of their own",
        ),
    ],
)
def test_what_cannot_be_learnt_is_told(row, told) -> None:
    with pytest.raises(DataError) as refused:
        entry_of(row, CHAT)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"question": 5}, "its question is 5, but must be a text"),
        ({"answer": None}, "its answer is None, but must be a text, or a list of texts"),
        ({"answer": ["A", 5]}, "its answer is 5, but must be a text, or a list of texts"),
        ({"answer": []}, "it has no answer"),
    ],
)
def test_a_pair_that_is_none_is_told(changes, told) -> None:
    row = {"image": "a.jpg", "question": "Q", "answer": "A"} | changes
    with pytest.raises(DataError) as refused:
        entry_of(row, PAIRS)
    assert str(refused.value) == told
