"""A sweep that is refused before anything starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sweeps.cli.exit_codes import EXIT_REFUSED

LNT = str(Path(sys.executable).parent / "lnt")
MARK = "LNT_TEST_REFUSED"


@pytest.mark.heavy
def test_what_the_model_refuses_leaves_nothing_and_no_process(tmp_path, micro) -> None:
    """That the vision tower has no such layer is known once the model is built."""
    model = micro["model"] | {"vision_feature_layer": 99}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(micro | {"model": model}))
    environment = os.environ | {MARK: str(tmp_path), "LNT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [LNT, "run", "sweep.yaml"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert done.stdout == ""
    assert "model.vision_feature_layer is 99, but must be from -3 to 2" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]
    assert _marked(f"{MARK}={tmp_path}".encode()) == []


def _marked(mark: bytes) -> list[str]:
    """The processes that have the mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found
