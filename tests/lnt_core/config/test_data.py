"""The splits for choosing and for reporting."""

from lnt_core.config import CaptioningConfig

FILES = {"task": "flickr30k", "annotations": "a.json", "images": "i"}


def test_the_test_split_is_reported_unless_it_chooses() -> None:
    assert CaptioningConfig.model_validate(FILES).report_split == "test"
    assert CaptioningConfig.model_validate(FILES | {"split": "test"}).report_split is None
