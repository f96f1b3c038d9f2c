"""What of a GPU or a node is one process's, by what the sweep file says."""

import pytest
import torch

from lnt_core.accounting.ledger import GIB
from sweeps.resources import ResourcesConfig
from sweeps.worker.process import memory_share_gib


@pytest.fixture
def gpu(monkeypatch) -> None:
    """80 GiB, of which 50 are free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (50 * GIB, 80 * GIB))


@pytest.mark.parametrize(
    ("resources", "share_gib"),
    [
        ({"gpus_per_trial": 1}, 80),
        ({"gpus_per_trial": 0.5}, 40),
        ({"gpus_per_trial": 2}, 80),
        ({"gpus_per_trial": 1, "gpu_memory_gib": 24}, 24),
        ({"gpus_per_trial": 0.5, "gpu_memory_gib": 24}, 12),
        ({"gpus_per_trial": 1, "gpu_memory_gib": 141}, 80),
    ],
)
@pytest.mark.usefixtures("gpu")
def test_of_a_gpu_it_is_the_trials_share_of_what_is_there_and_stated(resources, share_gib) -> None:
    assert memory_share_gib(ResourcesConfig(**resources)) == share_gib


def test_without_gpu_and_ray_nobody_says() -> None:
    assert memory_share_gib(ResourcesConfig(gpu_memory_gib=24)) is None
