"""Any file is read or refused: no traceback, whatever is in it."""

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lnt_core.config import DataConfig, DatasetConfig, ModelConfig
from lnt_core.data.annotations import annotations_sha256
from lnt_core.data.samples import read_samples
from lnt_core.errors import DataError
from lnt_core.evaluation.check import data_problems
from tests.formats import messages

WORDS = (None, True, 7, 0.5, "", "a.png", "lost.png", "<image>", "A <image>.", "\0", "x://y")
LISTS = ([], [None], ["train"], [{"type": "image"}], {}, {"path": "a.png"}, {"role": "user"})
ODD = st.sampled_from([*WORDS, *LISTS])
"""What stands where something else should."""
PARTS = [{"type": "image"}, {"type": "text", "text": "Q?"}]
LLAVA = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A."}]
PAIR = {"image": "a.png", "question": "Q?", "answer": ["A.", "B."], "split": "train"}
NAMES = {name: name for name in PAIR}
KINDS = st.sampled_from(
    [
        ("lines", None, {"messages": messages("A."), "images": ["a.png"]}),
        ("lines", None, {"messages": [{"role": "user", "content": PARTS}, *messages("A.")[1:]]}),
        ("list", None, {"image": "a.png", "conversations": LLAVA}),
        ("lines", {"messages": "conversations"}, {"images": ["a.png"], "conversations": LLAVA}),
        ("lines", NAMES, PAIR),
        ("list", {"image": "image", "answer": "answer", "split": "split"}, PAIR),
        ("karpathy", None, {"filename": "a.png", "split": "train", "sentences": [{"raw": "A."}]}),
    ]
)
"""A form, the columns and a row."""


def places(value: object, so_far: tuple = ()) -> list[tuple]:
    """Where something is within a value: keys and numbers, from outside to inside."""
    inner = enumerate(value) if isinstance(value, list) else ()
    inner = value.items() if isinstance(value, dict) else inner
    found = [so_far] if so_far else []
    return found + [place for key, v in inner for place in places(v, (*so_far, key))]


@st.composite
def rows_of(draw, good: dict) -> list:
    """Rows like ``good``, with odd values in some places."""
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        row = copy.deepcopy(good)
        for _ in range(draw(st.integers(0, 2))):
            *outside, last = draw(st.sampled_from(places(row)))
            place = row
            for key in outside:
                place = place[key]
            place[last] = copy.deepcopy(draw(ODD))
        rows.append(draw(st.sampled_from([row, row, row, row, 7])))
    return rows


BYTES = [b"\xff", b"{", b"\n", b"\r", b"[", b"\xef\xbb\xbf", b"PAR1", b'{"messages": 1e999}']


def content_of(rows: list, form: str, noise: int | None) -> bytes:
    """A file of these rows: lines, a list or Karpathy's; perhaps with bytes put in somewhere."""
    if form == "lines":
        content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    else:
        content = json.dumps({"images": rows} if form == "karpathy" else rows).encode()
    if noise is None:
        return content
    place = random.Random(noise).randint(0, len(content))
    return content[:place] + BYTES[noise % len(BYTES)] + content[place:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    Image.new("RGB", (2, 2)).save(folder / "a.png")
    return folder


@settings(max_examples=300)
@given(
    st.data(),
    KINDS,
    st.none() | st.none() | st.integers(0, 10**6),
    st.sampled_from([0, 100]),
    st.sampled_from([None, None, "train", "val"]),
)
def test_any_file_is_read_or_refused(folder, data, kind, noise, skip_bad, split) -> None:
    form, columns, good = kind
    rows = data.draw(rows_of(good))
    path = folder / "any.json"
    path.write_bytes(content_of(rows, form, noise))
    files = {"annotations": str(path), "columns": columns}
    tune = files | {"skip_bad": skip_bad, "split": split}
    both = DataConfig.model_validate({"tune": tune, "select": {"task": "coco", **files}})
    problems = data_problems(ModelConfig(tiny=True), both)
    assert all(problem.startswith(("data.tune", "data.select")) for problem in problems)
    try:
        read = read_samples(DatasetConfig.model_validate(tune))
    except DataError:
        assert any(problem.startswith("data.tune.annotations") for problem in problems)
        return
    for sample in read.samples:
        assert sum(question.count("<image>") for question, _ in sample.turns) == len(sample.images)
        assert all(answer for _, answer in sample.turns)
        assert all("<image>" not in answer for _, answer in sample.turns)


def test_a_folder_is_known_by_all_that_is_in_it(tmp_path) -> None:
    def digest() -> str:
        return annotations_sha256(DatasetConfig(annotations=str(tmp_path / "folder")))

    (tmp_path / "folder" / "data").mkdir(parents=True)
    part = tmp_path / "folder" / "data" / "train.jsonl"
    part.write_text("{}")
    before = digest()
    assert digest() == before
    part.write_text("[]")
    assert digest() != before
    part.rename(part.with_name("test.jsonl"))
    assert digest() != before
