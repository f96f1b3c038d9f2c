"""The cache: what is damaged there is made again."""

import random

import pytest

from lnt_core import cached
from lnt_core.cached import cached_folder
from tests.damage import WAYS, set_aside


def make(folder) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "a").write_text("a" * 50)
    (folder / "b").write_text("b" * 50)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the cache, made by another process."""
    monkeypatch.setattr(cached, "_checked", set())
    return cached_folder(tmp_path / "thing", make)


def never(folder) -> None:
    raise AssertionError("it was there")


def test_what_is_whole_is_not_made_again(folder) -> None:
    assert cached_folder(folder, never) == folder


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["deep/a", "b", "checksums.json"])
def test_what_is_damaged_is_made_again_and_kept_aside(name, way, folder, caplog) -> None:
    WAYS[way](folder / name, random.Random(1))
    cached_folder(folder, make)
    assert (folder / "deep" / "a").read_text() == "a" * 50
    assert (folder / "b").read_text() == "b" * 50
    assert set_aside(folder.parent) == ["thing.damaged-1"]
    assert len(caplog.messages) == 1
    assert "made again" in caplog.text
    cached_folder(folder, never)
    assert len(list(folder.parent.iterdir())) == 2


def test_a_missing_file_is_a_damage(folder) -> None:
    (folder / "b").unlink()
    cached_folder(folder, make)
    assert (folder / "b").exists()


def test_what_a_killed_maker_has_left_is_deleted_by_one_that_is_alone(tmp_path) -> None:
    kept, left, another = (tmp_path / name for name in ("thing", ".thing-x", ".another-x"))
    left.mkdir()
    another.mkdir()
    cached_folder(kept, make)
    assert left.exists()  # its maker may be at work
    (kept / "b").unlink()
    cached_folder(kept, make, alone=True)
    assert not left.exists()
    assert another.exists()
