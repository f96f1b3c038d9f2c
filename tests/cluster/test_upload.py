"""What a job is shipped, and what is refused."""

import pytest

from cluster.errors import UploadError
from cluster.upload import MAX_MIB, assemble


def test_files_and_packages_are_copied_and_nothing_else(tmp_path) -> None:
    home = tmp_path / "home"
    (home / "package" / "__pycache__").mkdir(parents=True)
    (home / "package" / "__init__.py").write_text("x = 1")
    (home / "package" / "__pycache__" / "a.pyc").write_text("x")
    (home / "sweep-of-mine.yaml").write_text("name: s")
    (home / "secret.txt").write_text("s")
    (tmp_path / "job").mkdir()
    shipped = assemble(
        tmp_path / "job", {"sweep.yaml": home / "sweep-of-mine.yaml"}, [home / "package"]
    )
    found = {str(p.relative_to(tmp_path / "job")) for p in (tmp_path / "job").rglob("*.*")}
    assert found == {"files/sweep.yaml", "packages/package/__init__.py"}
    assert [package.name for package in shipped.packages] == ["package"]


def test_what_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(UploadError, match="files to ship do not exist: /nowhere/s"):
        assemble(tmp_path, {"sweep.yaml": tmp_path.__class__("/nowhere/s.yaml")}, [])


def test_too_much_is_refused_before_anything_is_copied(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / "images.tar").open("wb") as file:
        file.truncate((MAX_MIB + 1) * 2**20)
    (tmp_path / "job").mkdir()
    with pytest.raises(UploadError) as refusal:
        assemble(tmp_path / "job", {"data": tmp_path / "data"}, [])
    assert str(refusal.value) == (
        f"a job can ship at most 100 MiB, but this is 101 MiB: {tmp_path}/data/images.tar "
        "(101 MiB); put data on storage that every node can access, and give its path in the sweep"
    )
    assert list((tmp_path / "job").iterdir()) == []
