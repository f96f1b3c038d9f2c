"""A sweep with a budget, and what is left out of it."""

import pytest

from tests.micro import STAGE

pytestmark = pytest.mark.sweep


def test_what_the_budget_leaves_out_is_said_and_can_be_run_later(micro_with) -> None:
    sweep = micro_with(
        budget={"trials": 2},
        train=STAGE | {"max_steps": 12},
    )
    printed = " ".join(sweep.lnt("run", "sweep.yaml").split())
    assert "2 trials left out because of the budget (budget.trials is 2): " in printed
    _, runs = sweep.runs()
    trials = [run for run in runs if run.data.tags["lnt.kind"] == "trial"]
    statuses = sorted((run.data.tags["lnt.status"], run.info.status) for run in trials)
    assert statuses == [("finished", "FINISHED")] * 2 + [("left_out", "KILLED")] * 2
    left_out = [run for run in trials if run.data.tags["lnt.status"] == "left_out"]
    note = "Not started because of the budget: budget.trials is 2."
    assert {run.data.tags["mlflow.note.content"] for run in left_out} == {note}
    assert all(not run.data.metrics for run in left_out)
    sweep.lnt("run", "sweep.yaml", "--resume", "--set", "budget.trials=4")
    sweep.assert_tracked_once(num_trials=4, num_steps=12)
    _, runs = sweep.runs()
    assert note not in {run.data.tags["mlflow.note.content"] for run in runs}
