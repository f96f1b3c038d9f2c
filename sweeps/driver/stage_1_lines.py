"""Progress of stage 1 as text: how far it is, its loss, and the time left."""

import time
from collections import deque

from rich.console import Console

from sweeps.console import say

EVERY_S = 30.0
"""Seconds between two lines."""
WINDOW = 30
"""Number of reports from which the pace is taken."""


class Lines:
    """Prints a line about stage 1 now and then, for a file or a pipe.

    Args:
        console: Where to print.
        total: Its optimizer steps.
        name: What each line begins with.
    """

    def __init__(self, console: Console, total: int, *, name: str = "Stage 1") -> None:
        self._console = console
        self._name = name
        self._left = TimeLeft(total)
        self._total = total
        self._told_s = -EVERY_S

    def tell(self, step: int, loss: float) -> None:
        """Print where it is, unless a line was printed just before; the last step always."""
        left = self._left.after(step)
        now_s = time.monotonic()
        if now_s - self._told_s < EVERY_S and step < self._total:
            return
        self._told_s = now_s
        line = f"{self._name}: step {step} of {self._total}, loss {loss:.3f}, {left}"
        say(self._console, line)


class TimeLeft:
    """Estimates the time left from the pace of the last steps that it was told of.

    After a resume, the steps before are told of again all at once; they leave the window soon.

    Args:
        total: The number of all steps.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._told: deque[tuple[int, float]] = deque(maxlen=WINDOW)

    def after(self, step: int) -> str:
        """The time left after a step, as text."""
        now_s = time.monotonic()
        self._told.append((step, now_s))
        before, before_s = self._told[0]
        if step <= before:
            return "time left: -"
        left_s = (now_s - before_s) / (step - before) * (self._total - step)
        return f"time left: {int(left_s // 60)}:{int(left_s % 60):02d}"
