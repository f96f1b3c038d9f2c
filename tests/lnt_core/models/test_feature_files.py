"""Features of images in files."""

import logging
import os

import pytest
import torch

from lnt_core.models.feature_files import FeatureFiles
from lnt_core.models.images import ImageInputs

KEYS = [f"{number:02x}{number:062x}" for number in range(8)]


def inputs(number: int = 0, dtype=torch.bfloat16) -> ImageInputs:
    drawn = torch.Generator().manual_seed(number)
    features = tuple(torch.randn(2, 3, 8, generator=drawn).to(dtype) for _ in range(2))
    mask = torch.tensor([True, False])
    return ImageInputs(features, (2, 3, 4, 4), {"sizes": torch.tensor([[4, 4]]), "mask": mask})


def same(one: ImageInputs, other: ImageInputs) -> bool:
    pairs = list(zip(one.features, other.features, strict=True))
    pairs += [(tensor, other.keys[name]) for name, tensor in one.keys.items()]
    equal = all(a.dtype == b.dtype and a.shape == b.shape and a.equal(b) for a, b in pairs)
    return equal and one.shape == other.shape and one.keys.keys() == other.keys.keys()


def size_of(root) -> int:
    return sum(path.stat().st_size for path in root.rglob("*.features"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_read_is_what_was_written_to_the_bit(tmp_path, dtype) -> None:
    FeatureFiles(tmp_path, "a", max_bytes=2**20).write(KEYS[0], inputs(dtype=dtype))
    files = FeatureFiles(tmp_path, "a", max_bytes=2**20)
    assert same(files.read(KEYS[0]), inputs(dtype=dtype))
    assert files.read(KEYS[1]) is None
    assert FeatureFiles(tmp_path, "b", max_bytes=2**20).read(KEYS[0]) is None


def test_any_damage_is_found_and_mended(tmp_path, caplog) -> None:
    files = FeatureFiles(tmp_path, "a", max_bytes=2**20)
    files.write(KEYS[0], inputs())
    (path,) = tmp_path.rglob("*.features")
    whole = path.read_bytes()
    changed = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    cut = [whole[:end] for end in (0, 3, 4, 5, len(whole) // 2, len(whole) - 1)]
    for damaged in (*cut, changed, bytes(len(whole)), whole + b"x"):
        path.write_bytes(damaged)
        assert files.read(KEYS[0]) is None
    assert not caplog.messages
    files.write(KEYS[0], inputs())
    assert path.read_bytes() == whole
    assert "is damaged: its features have been computed anew" in caplog.text


def test_the_limit_holds_for_all_processes_together_and_is_said_once(tmp_path, caplog) -> None:
    FeatureFiles(tmp_path / "measured", "a", max_bytes=2**20).write(KEYS[0], inputs())
    one, root = size_of(tmp_path), tmp_path / "features"
    stores = [FeatureFiles(root, "a", max_bytes=int(3.5 * one)) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        for number, key in enumerate(KEYS):
            files = stores[number % 2]
            if not files.is_full:
                files.write(key, inputs(number))
    assert size_of(root) == 3 * one
    assert [files.is_full for files in stores] == [True, True]
    assert len(caplog.messages) == 2  # one for each
    assert "has no room for more features (`feature_cache_gib` is " in caplog.text
    assert same(stores[1].read(KEYS[2]), inputs(2))


def test_what_is_deleted_by_hand_or_left_by_the_dead_takes_no_room(tmp_path) -> None:
    files = FeatureFiles(tmp_path, "a", max_bytes=2**20)
    files.write(KEYS[0], inputs())
    one = size_of(tmp_path)
    (path,) = tmp_path.rglob("*.features")
    path.unlink()
    draft = path.with_name(f".{path.name}.0123")
    draft.write_bytes(bytes(one))
    small = FeatureFiles(tmp_path, "a", max_bytes=one)
    small.write(KEYS[1], inputs(1))
    assert not small.is_full
    assert not draft.exists()


def test_features_of_other_models_make_room_unless_they_are_in_use(tmp_path) -> None:
    old = FeatureFiles(tmp_path, "old", max_bytes=2**20)
    old.write(KEYS[0], inputs())
    one = size_of(tmp_path)
    new = FeatureFiles(tmp_path, "new", max_bytes=one)
    new.write(KEYS[1], inputs(1))
    assert new.is_full
    assert same(old.read(KEYS[0]), inputs())
    del old
    later = FeatureFiles(tmp_path, "new", max_bytes=one)
    later.write(KEYS[1], inputs(1))
    assert same(later.read(KEYS[1]), inputs(1))
    assert size_of(tmp_path) == one


def test_features_that_give_way_are_shared_and_make_room_once_nobody_writes_them(tmp_path) -> None:
    giving = FeatureFiles(tmp_path, "a", max_bytes=2**20, gives_way=True)
    giving.write(KEYS[0], inputs())
    one = size_of(tmp_path)
    files = FeatureFiles(tmp_path, "a", max_bytes=one)
    assert same(files.read(KEYS[0]), inputs())
    files.write(KEYS[1], inputs(1))
    assert files.is_full  # while they are written, too
    del giving
    files = FeatureFiles(tmp_path, "a", max_bytes=one)
    files.write(KEYS[1], inputs(1))
    assert files.read(KEYS[0]) is None
    giving = FeatureFiles(tmp_path, "a", max_bytes=one, gives_way=True)
    assert same(giving.read(KEYS[1]), inputs(1))
    giving.write(KEYS[0], inputs())
    assert giving.is_full
    assert same(files.read(KEYS[1]), inputs(1))


def test_features_that_nobody_has_used_for_longest_go_first(tmp_path) -> None:
    for number, kind in enumerate(("old", "older")):
        FeatureFiles(tmp_path, kind, max_bytes=2**20).write(KEYS[0], inputs())
        os.utime(tmp_path / kind / "in_use.lock", (1000 - number, 1000 - number))
    new = FeatureFiles(tmp_path, "new", max_bytes=size_of(tmp_path))
    new.write(KEYS[1], inputs(1))
    assert {path.parts[-3] for path in tmp_path.rglob("*.features")} == {"old", "new"}


def test_a_full_disk_is_said_and_stops_no_trial(tmp_path, caplog, monkeypatch) -> None:
    files = FeatureFiles(tmp_path, "a", max_bytes=2**20)

    def no_space(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lnt_core.models.feature_files.write_bytes", no_space)
    files.write(KEYS[0], inputs())
    assert files.is_full
    assert "(the disk is full)" in caplog.text
