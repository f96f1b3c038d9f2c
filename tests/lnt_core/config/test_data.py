"""The splits for choosing and for reporting; columns of tables."""

import pytest

from lnt_core.config import CaptioningConfig, ColumnsConfig

FILES = {"task": "flickr30k", "annotations": "a.json", "images": "i"}


def test_the_test_split_is_reported_unless_it_chooses() -> None:
    assert CaptioningConfig.model_validate(FILES).report_split == "test"
    assert CaptioningConfig.model_validate(FILES | {"split": "test"}).report_split is None


def test_all_splits_that_are_read() -> None:
    select = CaptioningConfig.model_validate(FILES)
    assert select.splits == {"val", "test"}
    assert select.model_copy(update={"text_examples": 3}).splits == {"val", "test", "train"}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"image": "a", "images": "b"}, "`image` and `images` are the same column: give one"),
        ({"messages": "a", "answer": "b"}, "give either `messages`, or `answer` with or without"),
        ({"question": "a"}, "`question` needs `answer`"),
    ],
)
def test_columns_that_exclude_each_other_are_refused(columns, told) -> None:
    with pytest.raises(ValueError, match=told):
        ColumnsConfig.model_validate(columns)
