"""Placeholders of images: as many as images, each in its place."""

import pytest

from lnt_core.data.placeholders import with_images
from lnt_core.errors import DataError


@pytest.mark.parametrize(
    ("questions", "num_images", "placed"),
    [
        (["What?"], 0, ["What?"]),
        (["What?"], 1, ["<image>\nWhat?"]),
        (["Which?", "Why?"], 2, ["<image>\n<image>\nWhich?", "Why?"]),
        (["<image>What?"], 1, ["<image>\nWhat?"]),
        ([" <image> <image>\n\nWhich? "], 2, ["<image>\n<image>\nWhich?"]),
        (["Is <image> like <image>?"], 2, ["Is <image> like <image>?"]),
        (["What?", "And <image>?"], 1, ["What?", "And <image>?"]),
        (["<image>"], 1, ["<image>\n"]),
    ],
)
def test_each_image_has_its_place(questions, num_images, placed) -> None:
    turns = tuple((question, "A.") for question in questions)
    found = with_images(turns, num_images, image_first=False)
    assert [question for question, _ in found] == placed


@pytest.mark.parametrize(
    ("turns", "num_images", "told"),
    [
        ((("Is <image> this?", "A."),), 0, "its questions have 1 '<image>', but it has 0 images"),
        ((("<image><image>", "A."),), 1, "its questions have 2 '<image>', but it has 1 image"),
        ((("<image>", "A."),), 3, "its questions have 1 '<image>', but it has 3 images"),
        ((("Q", "An <image>."),), 1, "an answer contains '<image>', the placeholder of an image"),
    ],
)
def test_more_or_fewer_than_images_are_refused(turns, num_images, told) -> None:
    with pytest.raises(DataError) as refused:
        with_images(turns, num_images, image_first=False)
    assert str(refused.value) == told


def test_llavas_single_image_comes_first() -> None:
    turns = (("What is <image> there?", "A."), ("Why?", "B."))
    found = with_images(turns, 1, image_first=True)
    assert found == (("<image>\nWhat is  there?", "A."), ("Why?", "B."))
