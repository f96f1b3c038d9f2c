"""Exports that are refused; tests/e2e checks what an export writes."""

import pytest

from lnt_core.errors import ConfigError
from sweeps.export.write import export
from sweeps.storage.execution import new_execution
from tests.sweeps.executions import end_trial, tiny_sweep, track


def test_before_the_sweep_has_ended(client, store_uri, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # artifacts of an sqlite store go below the working folder
    sweep = tiny_sweep(tmp_path / "runs", store_uri)
    execution = new_execution(sweep)
    sent = track(client, sweep, execution)
    end_trial(sweep, execution, sent, 1.0)
    sent.close("KILLED")
    out = tmp_path / "out"
    with pytest.raises(ConfigError) as refused:
        export(client, sweep.name, None, out)
    assert str(refused.value) == (
        "the weights of full are not in MLflow, where they are stored when a sweep ends; "
        "this sweep is KILLED: finish it with `lnt run SWEEP --resume`"
    )
    assert not out.exists()


def test_into_a_folder_in_use(client, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError) as refused:
        export(client, "x", None, tmp_path)
    assert str(refused.value) == (
        f"-o is {str(tmp_path)!r}, which is not empty; choose another folder"
    )
