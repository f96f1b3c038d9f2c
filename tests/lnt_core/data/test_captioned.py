"""Captions for selection from tables."""

import json

import pytest

from lnt_core.config import CaptioningConfig
from lnt_core.data.captioned import load_captioned
from lnt_core.errors import DataError

COLUMNS = {"image": "photo", "answer": "say", "split": "set"}


@pytest.fixture
def task(tmp_path):
    """A task whose captions are in JSON lines."""

    def write(*rows, **options) -> CaptioningConfig:
        lines = [json.dumps(row) + "\n" for row in rows]
        (tmp_path / "rows.jsonl").write_text("".join(lines))
        given = {"task": "coco", "annotations": str(tmp_path / "rows.jsonl"), "columns": COLUMNS}
        return CaptioningConfig(**given | options)

    return write


def row(photo="a.png", say="A.", split="val", **more) -> dict:
    return {"photo": photo, "say": say, "set": split, **more}


def test_an_image_has_the_captions_of_all_its_rows(task, tmp_path) -> None:
    rows = [row(), row("b.png", [" B. ", "C."]), row(say="D."), row("c.png", split="test")]
    first, second = load_captioned(task(*rows), "val")
    assert (first.image, first.references) == (tmp_path / "a.png", ("A.", "D."))
    assert second.references == ("B.", "C.")
    assert len(load_captioned(task(*rows, num_images=2), "val")) == 2
    assert [item.image.name for item in load_captioned(task(*rows), "test")] == ["c.png"]


def test_all_bad_rows_are_told_at_once(task) -> None:
    bad = [row(photo=[]), row(photo=["a", "b"]), row(say=5), 7, row(say=[])]
    with pytest.raises(DataError) as refused:
        load_captioned(task(row(), *bad, row(photo=5, split="train")), "val")
    assert str(refused.value).partition("rows.jsonl: ")[2] == (
        "5 rows cannot be used: line 2: it has 0 images, but captions are of one; line 3: it has 2 "
        "images, but captions are of one; line 4: its say is 5, but must be a text, or a list of "
        "texts; line 5: it is 7, but must be an object; line 6: it has no "
        "caption; mend them"
    )


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"messages": "say"},
            "captions are read from `columns: {image: ..., answer: ...}`; the columns of",
        ),
        (
            {"image": "photo", "answer": "say", "question": "set"},
            "captions are read from `columns: {image: ..., answer: ...}`; the columns of",
        ),
        (
            {"image": "photo", "answer": "say"},
            "is one table without splits, but 'val' is asked for",
        ),
        ({"answer": "caption"}, "has no column 'caption' (columns.answer); its columns are"),
    ],
)
def test_other_columns_are_refused(columns, told, task) -> None:
    with pytest.raises(DataError) as refused:
        load_captioned(task(row(), columns=columns), "val")
    assert told in str(refused.value)
