"""What of a GPU or a node is one process's, by what the sweep file says."""

import os

import pytest
import torch

from lnt_core.devices.memory import GIB
from sweeps.resources import ResourcesConfig
from sweeps.worker.process import memory_share_gib, worker_for


@pytest.fixture
def gpu(monkeypatch) -> None:
    """80 GiB, of which 50 are free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (50 * GIB, 80 * GIB))


@pytest.mark.parametrize(
    ("resources", "share_gib"),
    [
        ({"gpus_per_trial": 1}, 80),
        ({"gpus_per_trial": 0.5}, 40),
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


def test_a_process_that_shares_its_gpu_is_fenced_to_its_share(tmp_path, monkeypatch) -> None:
    fenced = []
    monkeypatch.setenv("DS_ACCELERATOR", "")
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: fenced.append(share)
    )
    threads = torch.get_num_threads()
    worker_for(ResourcesConfig(gpus_per_trial=0.25), tmp_path)
    torch.set_num_threads(threads)
    assert fenced == [0.25]
