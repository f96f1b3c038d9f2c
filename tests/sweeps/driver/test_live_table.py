"""The live table: stage 1 with its bar, or as lines."""

import io

import pytest
from rich.console import Console

from sweeps.driver.live_table import LiveTable
from sweeps.storage.execution import Result, TrialStatus


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def shown(request):
    """What a table has shown on a terminal, or printed, after each of these reports."""

    def show(*reports: dict) -> list[str]:
        console = Console(file=io.StringIO(), force_terminal=request.param, width=90)
        table, texts = LiveTable(console, num_trials=2, stage_1_steps=lambda name: 400), []
        table.base_started()
        for report in reports:
            table.progress("base", {"trial": "base", **report})
            if request.param:
                console.print(table._render())
            texts.append(console.file.getvalue())
            console.file.truncate(0)
            console.file.seek(0)
        return texts

    return show, request.param


def test_stage_1_has_its_steps_loss_and_time_left_and_then_the_base_follows(shown) -> None:
    show, terminal = shown
    first, second, base = show(
        {"status": "starting", "step": 40, "loss": 2.5},
        {"status": "starting", "step": 400, "loss": 1.25},
        {"status": "running", "step": 0},
    )
    if terminal:
        assert "stage 1" in first
        assert "40/400" in first
        assert "2.500" in first
        assert "time left: -" in first
        assert "time left: 0:00" in second
        assert "stage 1" not in base
        assert "untuned base" in base
        assert "1.250" not in base
    else:
        assert first == "Stage 1: step 40 of 400, loss 2.500, time left: -\n"
        assert second == "Stage 1: step 400 of 400, loss 1.250, time left: 0:00\n"
        assert base == ""


def test_a_trial_that_died_before_it_started_is_told_by_its_name() -> None:
    console = Console(file=io.StringIO(), width=90)
    table = LiveTable(console, num_trials=1)
    table.ended("abc", "lora lr=1e-4", Result(TrialStatus.FAILED, error="its process died"))
    assert "[1/1] lora lr=1e-4" in console.file.getvalue()


def test_that_of_a_group_and_of_a_trial_has_its_own_name() -> None:
    console = Console(file=io.StringIO(), width=90)
    table = LiveTable(console, num_trials=1, stage_1_steps=lambda name: len(name))
    table.stage_1_started("align-abc", "stage 1 train.precision=bf16")
    table.started("0123456789ab", "lora lr=1e-4")
    for name in ("align-abc", "0123456789ab"):
        table.progress(name, {"status": "starting", "step": 1, "loss": 2.5})
    assert console.file.getvalue().splitlines() == [
        "Stage 1 train.precision=bf16: step 1 of 9, loss 2.500, time left: -",
        "Stage 1 of lora lr=1e-4: step 1 of 12, loss 2.500, time left: -",
    ]
    table.stage_1_ended("align-abc")
    table.progress("0123456789ab", {"status": "running", "step": 1})
    console.print(table._render())
    shown = console.file.getvalue().splitlines()[2:]
    assert [line.split() for line in shown if "1e-4" in line] == [
        ["lora", "lr=1e-4", "1", "-", "-", "running"]
    ]
    assert not any("bf16" in line for line in shown)


def test_a_base_without_a_score_says_why() -> None:
    console = Console(file=io.StringIO(), width=40)
    LiveTable(console, num_trials=2).base_ended(None, "select cannot be scored: [no] reason")
    assert console.file.getvalue() == "Untuned base: select cannot be scored: [no] reason\n"
