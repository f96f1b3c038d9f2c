"""Measures memory: that of the GPU if there is one, else that of this process."""

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
"""Linux: writing 5 to it resets ``VmHWM``, the peak of resident memory."""


@dataclass(frozen=True)
class MemoryMeter:
    """Measures the peak of memory since its start."""

    start_gib: float
    """Memory in use at the start."""

    @classmethod
    def start(cls) -> "MemoryMeter":
        """Reset the peak of the GPU or process, and measure from here."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
            return cls(torch.cuda.memory_allocated() / GIB)
        if STATUS.exists():
            _give_back()
            RESET_PEAK.write_text("5")
        return cls(_resident_gib("VmRSS"))

    @property
    def peak_gib(self) -> float:
        """Peak GiB since the start: allocated on the GPU, or resident memory of the process."""
        if torch.cuda.is_available():
            return torch.cuda.max_memory_allocated() / GIB
        return _resident_gib("VmHWM")

    @property
    def growth_gib(self) -> float:
        """How far the peak rose above the start."""
        return self.peak_gib - self.start_gib


def free_gib(device: torch.device, *, limit_gib: float | None = None) -> float:
    """GiB that this process can still allocate on a GPU, or on the host for the CPU.

    Memory that torch's allocator has cached counts as free. The result is negative if the process
    exceeds its limit.

    Args:
        device: The GPU, or the CPU.
        limit_gib: All the memory that the process may use. Default: no limit.
    """
    gc.collect()  # reference cycles may keep the worker's previous trial in memory
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
    """GiB that parameters and buffers take in this process; shared storage counts once."""
    tensors = [
        getattr(tensor, "ds_tensor", tensor)  # under ZeRO-3, the local shard
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
    ]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values()) / GIB


def _give_back() -> None:
    """Return freed memory to the host; if it stayed resident, it would hide a later peak."""
    ctypes.CDLL(None).malloc_trim(0)


def _resident_gib(key: str) -> float:
    """``VmRSS`` or ``VmHWM`` of this process; without /proc, its peak since it started."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / GIB
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
