"""What is read is what was written, or is known to be damaged."""

import contextlib
import json
import math
import random

import pytest
import torch
import yaml

from lnt_core.errors import DamagedError
from lnt_core.files import (
    check_torch,
    checksums,
    cut_off,
    damaged_files,
    read_json,
    read_yaml,
    set_aside,
    write_json,
    write_text,
    write_yaml,
)
from tests.damage import WAYS, flip

CONTENT = {"status": "finished", "score": 81.25, "metrics": {"a": 0.1 + 0.2, "b": [1, None]}}
TENSORS = {"step": 3, "a": torch.arange(50.0), "b": {"c": torch.ones(7)}}
TRIES = 40


def write_torch(path, content) -> None:
    torch.save(content, path)


def read_torch(path):
    check_torch(path)
    return torch.load(path, weights_only=True)


KINDS = {
    "json": (write_json, read_json, CONTENT),
    "yaml": (write_yaml, read_yaml, CONTENT),
    "torch": (write_torch, read_torch, TENSORS),
}


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_never_read_as_something_else(kind, way, tmp_path) -> None:
    write, read, content = KINDS[kind]
    path, draws, refused = tmp_path / "x", random.Random(f"{kind} {way}"), 0
    for _ in range(TRIES):
        write(path, content)
        assert same(read(path), content)
        WAYS[way](path, draws)
        with contextlib.suppress(DamagedError):
            assert same(read(path), content)  # as after a flip in a blank
            continue
        refused += 1
    assert refused > TRIES / 4


def test_both_are_plain_files_for_any_other_reader(tmp_path) -> None:
    write_json(tmp_path / "x.json", CONTENT)
    write_yaml(tmp_path / "x.yaml", CONTENT)
    found = json.loads((tmp_path / "x.json").read_text())
    assert found.pop("crc32")
    assert found == yaml.safe_load((tmp_path / "x.yaml").read_text()) == CONTENT


def test_what_json_changes_is_no_damage(tmp_path) -> None:
    write_json(tmp_path / "x", {"pair": (1, 2), "by step": {2: "b", 10: "a"}, "loss": math.nan})
    found = read_json(tmp_path / "x")
    assert found["pair"] == [1, 2]
    assert found["by step"] == {"2": "b", "10": "a"}
    assert math.isnan(found["loss"])


def test_a_write_that_fails_leaves_the_file_and_nothing_beside_it(tmp_path) -> None:
    write_text(tmp_path / "x", "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "x", "after \ud800")
    assert (tmp_path / "x").read_text() == "before"
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_files_of_a_folder_are_known_by_their_checksums(tmp_path) -> None:
    for name in ("a", "deep/b", "c"):
        write_text(tmp_path / name, name * 100)
    known = checksums(tmp_path, [path for path in tmp_path.rglob("*") if path.is_file()])
    assert damaged_files(tmp_path, known) == []
    flip(tmp_path / "deep" / "b", random.Random(0))
    (tmp_path / "c").unlink()
    assert damaged_files(tmp_path, known) == ["c", "deep/b"]


def test_each_damaged_file_is_kept_and_told_in_one_sentence(tmp_path, caplog) -> None:
    path = tmp_path / "x.json"
    for number in (1, 2):
        path.write_text(str(number))
        set_aside(path, "it is empty", "it is made again")
    assert not path.exists()
    assert (tmp_path / "x.json.damaged-2").read_text() == "2"
    assert caplog.messages[1] == (
        f"{path} is damaged (it is empty) and now x.json.damaged-2: it is made again"
    )
    set_aside(path, "it is empty", "it is made again")  # another process was first
    assert len(caplog.messages) == 2


def test_a_damaged_end_is_cut_off_kept_and_told(tmp_path, caplog) -> None:
    path = tmp_path / "events.jsonl"
    for number, end in enumerate((b"worse", b"worst"), start=1):
        path.write_bytes(b"good" + end)
        cut_off(path, 4, "a checksum is another", "it is written again")
        assert path.read_bytes() == b"good"
        assert (tmp_path / f"events.jsonl.damaged-{number}").read_bytes() == end
    assert caplog.messages[0] == (
        f"{path} is damaged from byte 4 on (a checksum is another), which is now "
        "events.jsonl.damaged-1: it is written again"
    )
