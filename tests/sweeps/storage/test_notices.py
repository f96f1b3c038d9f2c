"""What was set aside reaches the user."""

import subprocess
import sys

from lnt_core.files import set_aside
from sweeps.storage.notices import NOTICES, noted, told


def test_what_any_process_sets_aside_is_told_once(tmp_path) -> None:
    for name in "abc":
        (tmp_path / name).touch()
    with noted(tmp_path):
        set_aside(tmp_path / "a", "it is empty", "before anyone listens")
    heard = []
    with told(tmp_path, heard.append), noted(tmp_path):
        set_aside(tmp_path / "b", "it is empty", "it is made again")
        code = (
            "import sys; from pathlib import Path; folder = Path(sys.argv[1])\n"
            "from lnt_core.files import set_aside; from sweeps.storage.notices import noted\n"
            "with noted(folder): set_aside(folder / 'c', 'it is empty', 'it is made again')"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    told_of = "{0} is damaged (it is empty) and now {1}.damaged-1: it is made again"
    assert heard == [told_of.format(tmp_path / name, name) for name in "bc"]
    assert len((tmp_path / NOTICES).read_text().splitlines()) == 3


def test_where_nothing_is_damaged_nothing_is_written(tmp_path) -> None:
    with told(tmp_path, print), noted(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
