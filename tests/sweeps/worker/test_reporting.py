"""A winner that cannot be scored costs the sweep its scores alone."""

import pytest

from sweeps.storage.reported import reported
from sweeps.worker.reporting import run_report
from tests.sweeps.driver.executions import at_rate, context_of

pytestmark = pytest.mark.heavy


def test_an_error_is_written_and_not_met_again_by_this_driver(tmp_path, monkeypatch) -> None:
    context, asked = context_of(tmp_path, scenes={"report": ["pope"]}), []

    def broken(*args, **options):
        asked.append(args)
        raise ValueError("no weights")

    monkeypatch.setattr("lnt_core.reporting.score_weights", broken)
    name = at_rate(context, 1e-3).id
    for _ in range(2):
        run_report(context, name, report=lambda step, metrics: None)
    assert "ValueError: no weights" in reported(context.execution, name).error
    ((_, weights, folder),) = asked
    assert weights == context.execution.trial(name) / "weights"
    assert folder == context.execution.path / "reported" / name
