"""A sweep with two trials in its own MLflow experiment, and an execution of it."""

import pytest

from sweeps.config import SweepConfig
from sweeps.storage.execution import Execution, new_execution
from sweeps.tracking import outbox
from tests.sweeps.executions import tiny_sweep


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """The waits between two looks, and between attempts, a hundredth of what they are."""
    monkeypatch.setattr(outbox, "POLL_S", 0.005)
    monkeypatch.setattr(outbox, "MIN_DELAY_S", 0.01)
    monkeypatch.setattr(outbox, "MAX_DELAY_S", 0.3)


@pytest.fixture
def sweep(store_uri, tmp_path, monkeypatch) -> SweepConfig:
    monkeypatch.chdir(tmp_path)  # artifacts of an sqlite store go below the working folder
    return tiny_sweep(tmp_path / "runs", store_uri)


@pytest.fixture
def execution(sweep) -> Execution:
    return new_execution(sweep)
