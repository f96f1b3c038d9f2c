"""Memory as measured: of the GPU where there is one, else of this process."""

import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from lnt_core.accounting.ledger import GIB

STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")
"""Linux: writing 5 starts a new measurement of ``VmHWM``, the peak of resident memory."""


@dataclass(frozen=True)
class MemoryMeter:
    """Measures from where it was started."""

    start_gib: float

    @classmethod
    def start(cls) -> "MemoryMeter":
        """Start a new measurement of the peak."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            return cls(torch.cuda.memory_allocated() / GIB)
        if STATUS.exists():
            ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back, or it would hide a peak
            RESET_PEAK.write_text("5")
        return cls(_resident_gib("VmRSS"))

    @property
    def peak_gib(self) -> float:
        """Peak GiB since the start: allocated on the GPU, or resident of the whole process."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / GIB
        return _resident_gib("VmHWM")

    @property
    def growth_gib(self) -> float:
        """How far the peak rose above the start."""
        return self.peak_gib - self.start_gib


def _resident_gib(key: str) -> float:
    """``VmRSS`` or ``VmHWM``; where there is no /proc, the peak since the process began."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / GIB
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
