"""Two sweeps of one name start at once, on one store that is new."""

import pytest

from tests.micro import outcome
from tests.servers import HANG_S

pytestmark = pytest.mark.fault


def test_both_end_with_what_each_gives_alone(micro_with, undisturbed) -> None:
    sweep = micro_with()
    drivers = [sweep.start("run", "sweep.yaml") for _ in range(2)]
    log = sweep.folder / "driver.log"
    assert [driver.wait(timeout=HANG_S) for driver in drivers] == [0, 0], log.read_text()
    executions = sorted(sweep.folder.glob("lnt_runs/small/*"))
    assert len(executions) == 2
    for execution in executions:
        trials = [path.parent for path in execution.glob("trials/*/result.json")]
        assert outcome(trials) == undisturbed.outcome()
    _, runs = sweep.runs()
    assert {run.info.status for run in runs} == {"FINISHED"}
    parents = {run.info.run_id for run in runs if run.data.tags["lnt.kind"] == "sweep"}
    assert len(parents) == 2
    for parent in parents:
        nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent]
        assert len({run.data.tags["lnt.trial_id"] for run in nested}) == len(nested) == 4
