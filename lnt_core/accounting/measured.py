"""Memory as measured: of the GPU where there is one, else of this process."""

import ctypes
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import nn

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
            _give_back()
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


def free_gib(device: torch.device, *, limit_gib: float | None = None) -> float:
    """What this process can still take of a GPU, or of the host where ``device`` is its CPU.

    What torch's allocator keeps of freed GPU memory is free. Below 0 if it is over its limit.

    Args:
        device: Whose memory.
        limit_gib: All that the process may take.
    """
    gc.collect()  # the trial before on this worker may lie in cycles still
    if device.type == "cuda":
        held = torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
        held_gib, free_gib = held / GIB, free / GIB
    else:
        if STATUS.exists():
            _give_back()
        held_gib = _resident_gib("VmRSS")
        free_gib = psutil.virtual_memory().available / GIB
    return free_gib if limit_gib is None else min(free_gib, limit_gib - held_gib)


def held_by(*modules: nn.Module) -> float:
    """GiB of parameters and buffers as they stand here; what they share counts once."""
    tensors = [
        getattr(tensor, "ds_tensor", tensor)  # of one in parts, the part
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
    ]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values()) / GIB


def _give_back() -> None:
    """Freed memory goes back to the host, or it would hide a peak."""
    ctypes.CDLL(None).malloc_trim(0)


def _resident_gib(key: str) -> float:
    """``VmRSS`` or ``VmHWM``; where there is no /proc, the peak since the process began."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / GIB
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
