"""What was set aside reaches the user."""

import pytest

from lnt_core.files import set_aside
from sweeps.storage.notices import NOTICES, noted, told


@pytest.mark.heavy
def test_what_any_process_sets_aside_is_told_once(tmp_path) -> None:
    for name in "abc":
        (tmp_path / name).touch()
    with noted(tmp_path):
        set_aside(tmp_path / "a", "it is empty", "before anyone listens")
    heard = []
    with told(tmp_path, heard.append), noted(tmp_path):
        set_aside(tmp_path / "b", "it is empty", "it is made again")
    with told(tmp_path, heard.append), (tmp_path / NOTICES).open("a") as file:
        file.write(f"{tmp_path / 'c'} is damaged\n")  # as another process does
    of_b = f"{tmp_path / 'b'} is damaged (it is empty) and now b.damaged-1: it is made again"
    assert heard == [of_b, f"{tmp_path / 'c'} is damaged"]
    assert len((tmp_path / NOTICES).read_text().splitlines()) == 3


def test_where_nothing_is_damaged_nothing_is_written(tmp_path) -> None:
    with told(tmp_path, print), noted(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
