"""DeepSpeed on this machine, and where it cannot be imported or has no ninja."""

import pytest

from sweeps.nodes.deepspeed import DeepSpeed, probe
from tests.nvml import fake_packages

pytestmark = pytest.mark.heavy


def test_its_operators_can_be_compiled_here() -> None:
    found = probe("cpu", ("cpu_adam", "deepspeed_shm_comm"))
    assert (found.error, found.ninja) == ("", True)
    assert found.to_compile == ["cpu_adam", "deepspeed_shm_comm"]
    assert found.incompatible == []


def test_one_that_cannot_be_imported(tmp_path, monkeypatch) -> None:
    for name, value in fake_packages(tmp_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "deepspeed.py").write_text("raise RuntimeError('built for another torch')")
    assert probe("cpu", ()) == DeepSpeed(error="RuntimeError: built for another torch")


def test_ninja_of_an_environment_that_is_not_activated(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not probe("cpu", ()).ninja
