"""Progress of stage 1 as text."""

import io

from rich.console import Console

from sweeps.driver import stage_1_lines
from sweeps.driver.stage_1_lines import Lines, TimeLeft


def test_the_time_left_follows_the_pace_also_after_a_resume(monkeypatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(stage_1_lines.time, "monotonic", lambda: now_s[0])
    left = TimeLeft(200)
    assert left.after(1) == "time left: -"
    for step in range(2, 101):  # told of again, at once
        left.after(step)
    for step in range(101, 141):
        now_s[0] += 2.0
        told = left.after(step)
    assert told == "time left: 2:00"


def test_a_line_is_printed_now_and_then_and_at_the_end(monkeypatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(stage_1_lines.time, "monotonic", lambda: now_s[0])
    out = io.StringIO()
    lines = Lines(Console(file=out, width=20), 100)
    for step in range(1, 101):
        lines.tell(step, 1 / step)
        now_s[0] += 1.0
    steps = [line.split()[3] for line in out.getvalue().splitlines()]
    assert steps == ["1", "31", "61", "91", "100"]
    assert out.getvalue().splitlines()[1] == "Stage 1: step 31 of 100, loss 0.032, time left: 1:09"
