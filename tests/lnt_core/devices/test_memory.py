"""Free memory of the host and of a GPU, and memory held by modules."""

import psutil
import pytest
import torch
from torch import nn

from lnt_core.devices.memory import GIB, MemoryMeter, fence, free_gib, held_by


@pytest.fixture
def gpu(monkeypatch) -> None:
    """80 GiB, of which 50 are free, 20 this process's: 12 in use, 8 kept by torch's allocator."""
    for name, gib in (("memory_allocated", 12), ("memory_reserved", 20)):
        monkeypatch.setattr(torch.cuda, name, lambda device=None, gib=gib: gib * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (50 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


@pytest.mark.usefixtures("gpu")
def test_what_the_allocator_keeps_is_free_and_a_limit_counts_what_is_in_use() -> None:
    device = torch.device("cuda")
    assert free_gib(device) == 50 + 8
    assert free_gib(device, limit_gib=80) == 50 + 8
    assert free_gib(device, limit_gib=40) == 40 - 12


def test_free_memory_is_the_hosts_or_what_a_limit_leaves_of_it() -> None:
    cpu = torch.device("cpu")
    held_gib = psutil.Process().memory_info().rss / GIB
    # Other processes come and go: 1 GiB. What this one holds moves by less than 0.1.
    assert free_gib(cpu) == pytest.approx(psutil.virtual_memory().available / GIB, abs=1.0)
    assert free_gib(cpu, limit_gib=held_gib + 0.5) == pytest.approx(0.5, abs=0.1)


def test_tied_weights_are_held_once() -> None:
    layer = nn.Linear(1024, 1024, bias=False)
    tied = nn.ModuleList([layer, nn.Linear(1024, 1024, bias=False)])
    tied[1].weight = layer.weight
    assert held_by(tied, layer) == 4 * 2**20 / GIB


@pytest.mark.usefixtures("gpu")
def test_on_a_machine_with_a_gpu_a_trial_on_the_cpu_is_measured_on_the_cpu(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device=None: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 0)
    meter = MemoryMeter.start(torch.device("cpu"))
    grown = torch.ones(2**26)  # 1/4 GiB
    assert meter.growth_gib == pytest.approx(0.25, abs=0.05)
    assert grown.numel() < meter.peak_gib * GIB


def test_a_peak_is_that_of_its_own_gpu(monkeypatch) -> None:
    peaks = {torch.device("cuda:0"): 3 * GIB, torch.device("cuda:1"): 5 * GIB}
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", peaks.__getitem__)
    meter = MemoryMeter.start(torch.device("cuda:1"))
    assert (meter.start_gib, meter.peak_gib, meter.growth_gib) == (1, 5, 4)


def test_only_a_shared_gpu_is_fenced(monkeypatch) -> None:
    fenced = []
    set_fraction = "set_per_process_memory_fraction"
    monkeypatch.setattr(torch.cuda, set_fraction, lambda share, device: fenced.append(share))
    for device, share in (("cuda", 0.5), ("cuda", 1.0), ("cpu", 0.5)):
        fence(device, share)
    assert fenced == [0.5]
