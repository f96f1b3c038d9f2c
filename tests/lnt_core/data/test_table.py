"""JSON lines: every bad line is counted, named and told; columns that are not there, too."""

import json

import pytest
from PIL import Image

from lnt_core.config import DatasetConfig
from lnt_core.data.samples import read_samples
from lnt_core.errors import DataError
from tests.formats import messages


@pytest.fixture
def lines(tmp_path):
    """A data set of JSON lines, which are text or are made of objects."""

    def write(*rows, name: str = "rows.jsonl", **options) -> DatasetConfig:
        content = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        (tmp_path / name).write_bytes(b"\n".join(content))
        Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
        return DatasetConfig(annotations=str(tmp_path / name), **options)

    return write


GOOD = {"messages": messages("A."), "images": ["a.png"]}
BAD = {
    b"{": "line 2: it is not JSON: EOF while parsing an object at line 1 column 1",
    b'{"messages": "\xff"}': "line 2: it is not JSON: invalid unicode code point at line 1 column "
    "15",
    b"[1]": "line 2: it is [1], but must be an object",
    b"{}": "line 2: its messages is None, but must be a list of messages",
    b'{"messages": []}': "line 2: it has no question with an answer",
    json.dumps(GOOD | {"images": []}).encode(): "line 2: its questions have 1 '<image>', but it "
    "has 0 images",
    json.dumps({"messages": messages("An <image>.")}).encode(): "line 2: an answer contains "
    "'<image>', the placeholder of an image",
}


@pytest.mark.parametrize(("bad", "told"), BAD.items())
def test_a_bad_line_is_refused_or_left_out(bad, told, lines) -> None:
    data = lines(GOOD, bad, GOOD)
    with pytest.raises(DataError) as refused:
        read_samples(data)
    assert str(refused.value) == (
        f"{data.annotations}: 1 of 3 samples cannot be used: {told}. Mend them, or leave them out "
        "with `skip_bad: 1`"
    )
    read = read_samples(lines(GOOD, bad, GOOD, skip_bad=1))
    assert (len(read.samples), read.left_out) == (2, (told,))


def test_all_bad_lines_are_told_at_once_with_their_numbers(lines) -> None:
    lost = GOOD | {"images": ["lost.png"]}
    read = read_samples(lines(GOOD, b"", *BAD, lost, skip_bad=8))
    numbers = [left_out.partition(":")[0] for left_out in read.left_out]
    assert numbers == [f"line {number}" for number in range(3, 11)]  # blank lines count
    assert read.left_out[-1].endswith("lost.png: there is no such file")
    with pytest.raises(DataError, match=r"7 of 8 samples .* and 2 more\. Mend .* `skip_bad: 7`"):
        read_samples(lines(GOOD, *BAD))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.txt"])
def test_json_lines_are_told_from_their_content(name, lines) -> None:
    data = lines(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), GOOD, name=name)
    assert len(read_samples(data).samples) == 2


def test_a_json_list_of_messages_is_a_table(lines, tmp_path) -> None:
    said = [{"from": "human", "value": "<image>Q"}, {"from": "gpt", "value": "A."}]
    shared = {"conversations": said, "images": ["a.png"]}
    for row in (GOOD, shared):
        data = lines([row], name="rows.json")
        (sample,) = read_samples(data).samples
        assert sample.images == (tmp_path / "a.png",)  # relative to the annotations by default
        with pytest.raises(DataError, match=r"`kinds` applies only to LLaVA's .*json is a table"):
            read_samples(data.model_copy(update={"kinds": ("detail",)}))


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_rows_is_refused(content, lines) -> None:
    with pytest.raises(DataError, match="is empty: it has no row"):
        read_samples(lines(content))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            None,
            "has no column messages or conversations; its columns are photo, say, set. Name those "
            "of questions and answers: `columns: {image: ..., question: ..., answer: ...}`",
        ),
        (
            {"image": "image", "answer": "caption"},
            "has no column 'caption' (columns.answer), 'image' (columns.image); its columns are "
            "photo, say, set",
        ),
    ],
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(columns, told, lines) -> None:
    data = lines({"photo": "a.png", "say": "A."}, {"set": "val"}, columns=columns)
    with pytest.raises(DataError) as refused:
        read_samples(data)
    assert str(refused.value) == f"{data.annotations} {told}"


PAIRS = {"image": "photo", "answer": "say"}


def test_a_column_may_have_the_splits(lines) -> None:
    rows = [{"photo": "a.png", "say": f"{s}.", "set": s} for s in ("train", "val", "restval")]
    columns = PAIRS | {"split": "set"}
    read = read_samples(lines(*rows, columns=columns))
    assert [sample.turns[0][1] for sample in read.samples] == ["train.", "restval."]
    assert read.splits == ("train", "val", "restval")
    (of_val,) = read_samples(lines(*rows, columns=columns, split="val")).samples
    assert of_val.turns[0][1] == "val."


def test_a_split_needs_a_column_of_splits(lines) -> None:
    data = lines({"photo": "a.png", "say": "A."}, columns=PAIRS, split="val")
    with pytest.raises(DataError) as refused:
        read_samples(data)
    assert str(refused.value) == (
        f"{data.annotations} is one table without splits, but 'val' is asked for: name the column "
        "that has the names of splits (`columns: {split: ...}`)"
    )
