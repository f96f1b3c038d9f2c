"""Memory of a device: of a GPU what torch holds there, of the CPU what this process holds."""

import ctypes
import gc
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from lnt_core.devices.chosen import is_gpu

GIB = 2**30

STATUS = Path("/proc/self/status")
RESET_PEAK = Path("/proc/self/clear_refs")
"""Linux: writing 5 to it resets ``VmHWM``, the peak of resident memory."""


@dataclass(frozen=True)
class MemoryMeter:
    """Measures the peak of memory on a device since its start."""

    device: torch.device
    start_gib: float
    """Memory in use at the start."""

    @classmethod
    def start(cls, device: torch.device) -> "MemoryMeter":
        """Free what nobody uses, reset the peak of the GPU or process, and measure from here."""
        empty(device)
        if is_gpu(device):
            torch.cuda.reset_peak_memory_stats(device)
            return cls(device, torch.cuda.memory_allocated(device) / GIB)
        if STATUS.exists():
            RESET_PEAK.write_text("5")
        return cls(device, _resident_gib("VmRSS"))

    @property
    def peak_gib(self) -> float:
        """Peak GiB since the start: allocated on the GPU, or resident memory of the process."""
        if is_gpu(self.device):
            return torch.cuda.max_memory_allocated(self.device) / GIB
        return _resident_gib("VmHWM")

    @property
    def growth_gib(self) -> float:
        """How far the peak rose above the start."""
        return self.peak_gib - self.start_gib


def empty(device: str | torch.device) -> None:
    """Return to the GPU or host what this process has freed; call it between trials.

    What reference cycles hold is freed first. On a shared GPU, other processes need the memory that
    torch's allocator keeps; on the host, it would hide a later peak.
    """
    gc.collect()
    if is_gpu(device):
        torch.cuda.empty_cache()
    elif STATUS.exists():
        ctypes.CDLL(None).malloc_trim(0)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """A host tensor in page-locked memory if ``device`` is a GPU, else the tensor itself."""
    return tensor.pin_memory() if is_gpu(device) else tensor


def fence(device: str | torch.device, share: float) -> None:
    """Limit this process to a share of its GPU's memory: beyond it, torch raises out of memory.

    Args:
        device: The device; on a CPU nothing is limited.
        share: 0..1; 1: no limit.
    """
    if is_gpu(device) and share < 1:
        torch.cuda.set_per_process_memory_fraction(share, device)


def total_gib(device: str | torch.device) -> float:
    """GiB of the GPU, whoever uses them."""
    return torch.cuda.mem_get_info(device)[1] / GIB


def free_gib(device: torch.device, *, limit_gib: float | None = None) -> float:
    """GiB that this process can still allocate on a GPU, or on the host for the CPU.

    Memory that torch's allocator has cached counts as free. The result is negative if the process
    exceeds its limit.

    Args:
        device: The GPU, or the CPU.
        limit_gib: All the memory that the process may use. Default: no limit.
    """
    empty(device)
    if is_gpu(device):
        held = torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - held
        held_gib, free_gib = held / GIB, free / GIB
    else:
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
    # by identity, not by address, which is 0 for every storage on the meta device
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values()) / GIB


def _resident_gib(key: str) -> float:
    """``VmRSS`` or ``VmHWM`` of this process; without /proc, its peak since it started."""
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / GIB
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB
