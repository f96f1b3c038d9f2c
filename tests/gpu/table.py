"""The table of checks: what was measured, what was expected, whether it is so."""

import datetime
import functools
import importlib.metadata
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tests.gpu.shapes import has

PACKAGES = ("torch", "transformers", "peft", "pydantic", "deepspeed", "ray", "mlflow")
Measured = float | bool | str


@dataclass
class Row:
    """One check, of one thing or of several, such as every strategy."""

    what: str
    expected: str
    measured: dict[str, Measured] = field(default_factory=dict)
    """By the name of the thing; a check of one thing has the name ``""``."""
    failed: list[str] = field(default_factory=list)
    is_judged: bool = False
    """False of what is only measured, or left out."""

    def cells(self) -> tuple[str, str, str, str]:
        """What, measured, expected, ok."""
        names = ", ".join(name for name in self.failed if name)
        verdict = ("NO" + (f": {names}" if names else "")) if self.failed else "yes"
        return self.what, self._summary(), self.expected, verdict if self.is_judged else "-"

    def _summary(self) -> str:
        values = list(self.measured.values())
        if len(values) == 1 and not isinstance(values[0], bool):
            return shown(values[0])
        if all(isinstance(value, bool) for value in values):
            return f"{sum(map(bool, values))} of {len(values)}"
        if any(isinstance(value, str) for value in values):
            return "; ".join(f"{name}: {shown(value)}" for name, value in self.measured.items())
        low, high = (pick(self.measured, key=self.measured.__getitem__) for pick in (min, max))
        ends = [f"{shown(self.measured[name])} ({name})" for name in (low, high)]
        return " to ".join(ends)


class Table:
    """The rows in the order of their first measurement.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._rows: dict[str, Row] = {}

    def add(
        self,
        what: str,
        measured: Measured,
        expected: str = "",
        ok: bool | None = None,
        of: str = "",
    ) -> None:
        """Add a measurement.

        Args:
            what: The check; measurements of the same check share its row.
            measured: The value.
            expected: In words.
            ok: Whether it is as expected; None if it is only measured.
            of: What it was measured of, if of several things.
        """
        row = self._rows.setdefault(what, Row(what, expected))
        row.measured[of] = measured
        row.is_judged |= ok is not None
        if ok is False:
            row.failed.append(of)

    def leave_out(self, what: str, why: str) -> None:
        """Say that a check was not made."""
        self._rows.setdefault(what, Row(what, "", {"": f"left out: {why}"}))

    @property
    def has_measurements(self) -> bool:
        """Whether anything was not left out."""
        return any(
            "left out" not in str(v) for r in self._rows.values() for v in r.measured.values()
        )

    def markdown(self) -> str:
        """The section for docs/LOG.md."""
        today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        lines = [
            f"## {today}: `make gpu` on {machine(self._device)}",
            "",
            f"{versions()}. Trials are scored by a stand-in for CIDEr, which needs Java: no score",
            "of captions is checked here.",
            "",
            "| check | measured | expected | ok |",
            "|---|---|---|---|",
        ]
        rows = [
            " | ".join(cell.replace("|", "/") for cell in r.cells()) for r in self._rows.values()
        ]
        return "\n".join([*lines, *(f"| {row} |" for row in rows)]) + "\n"

    def write(self, path: Path) -> None:
        """Write the table, also before the last check is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), encoding="utf-8")


def shown(value: Measured) -> str:
    """A number with three digits, anything else as text.

    Example:
        >>> shown(0.98765), shown(1234567.0), shown(True), shown("gloo")
        ('0.988', '1.23e+06', 'True', 'gloo')
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@functools.cache
def machine(device: str) -> str:
    """The device's name; of a GPU also the number of them and the driver."""
    if device == "cpu":
        return "a CPU, tiny shape"
    name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
    return f"{count} x {name}, driver {driver()}, CUDA {torch.version.cuda}"


def driver() -> str:
    """Version of NVIDIA's driver, from ``nvidia-smi``."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown (no nvidia-smi)"
    return done.stdout.split("\n")[0].strip() or "unknown"


def versions() -> str:
    """Versions of the packages; an absent one is named as absent."""
    return ", ".join(
        f"{name} {importlib.metadata.version(name)}" if has(name) else f"no {name}"
        for name in PACKAGES
    )
