"""Free memory of the host and of a GPU, and memory held by modules."""

import psutil
import pytest
import torch
from torch import nn

from lnt_core.accounting.ledger import GIB
from lnt_core.accounting.measured import free_gib, held_by


@pytest.fixture
def gpu(monkeypatch) -> None:
    """80 GiB, of which 50 are free, 20 this process's: 12 in use, 8 kept by torch's allocator."""
    for name, gib in (("memory_allocated", 12), ("memory_reserved", 20)):
        monkeypatch.setattr(torch.cuda, name, lambda device=None, gib=gib: gib * GIB)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (50 * GIB, 80 * GIB))


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
