"""Which captions are scored."""

from lnt_core.data.captioned import load_captioned
from lnt_core.evaluation.tasks.captioning import Captioning


def test_images_are_those_of_the_split_asked_for_else_of_the_one_that_chooses(scenes) -> None:
    options = scenes.select
    for asked, split in ((None, "val"), ("val", "val"), ("test", "test")):
        expected = [(item.image, item.references) for item in load_captioned(options, split)]
        found = Captioning(options, asked).questions
        assert [(question.image, question.references) for question in found] == expected
