"""Any file is read or refused: no traceback, whatever is in it."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lnt_core.config import DataConfig, DatasetConfig, ModelConfig
from lnt_core.data.annotations import annotations_sha256
from lnt_core.data.check import data_problems
from lnt_core.data.samples import read_samples
from lnt_core.errors import DataError
from tests.formats import messages

VALUES = st.recursive(
    st.sampled_from([None, True, 7, 0.5, "", "a.png", "lost.png", "<image>", "A.", "\0", "x://y"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text", "image", "path"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
GOOD = st.sampled_from(
    [
        {"messages": messages("A."), "images": ["a.png"]},
        {"messages": messages("A.", "Q?")},
        {"image": "a.png", "conversations": [{"from": "human", "value": "Q"}]},
        {"image": "a.png", "question": "Q?", "answer": ["A.", "B."], "split": "train"},
        {"filename": "a.png", "split": "train", "sentences": [{"raw": "A."}]},
    ]
)
KEYS = st.sampled_from(
    ["messages", "conversations", "image", "images", "question", "answer", "split", "videos"]
)
ROWS = GOOD | st.dictionaries(KEYS, VALUES, max_size=4) | VALUES
COLUMNS = st.sampled_from(
    [
        None,
        {"messages": "conversations"},
        {"image": "image", "answer": "answer"},
        {"image": "images", "question": "question", "answer": "answer", "split": "split"},
        {"answer": "nowhere"},
    ]
)
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
    st.lists(ROWS, max_size=4),
    st.sampled_from(["lines", "list", "karpathy"]),
    st.none() | st.integers(0, 10**6),
    COLUMNS,
    st.sampled_from([0, 1, 100]),
    st.sampled_from([None, "train", "val"]),
)
def test_any_file_is_read_or_refused(folder, rows, form, noise, columns, skip_bad, split) -> None:
    path = folder / "any.json"
    path.write_bytes(content_of(rows, form, noise))
    files = {"annotations": str(path), "columns": columns}
    tune = files | {"skip_bad": skip_bad, "split": split}
    data = DataConfig.model_validate({"tune": tune, "select": {"task": "coco", **files}})
    problems = data_problems(ModelConfig(tiny=True), data)
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
