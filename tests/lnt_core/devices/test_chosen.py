"""One room decides what depends on the device, and libraries are told before they are used."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lnt_core.devices.chosen import settle_device
from lnt_core.distributed.sharded import deepspeed_quietly
from lnt_core.errors import TrialError

ROOT = Path(__file__).parents[3]
WITH_A_GPU = """
import torch
torch.cuda.is_available = lambda: True
torch.cuda.device_count = lambda: 1
from pathlib import Path
from lnt_core.worker import Worker
Worker(Path("cache"), device="cpu")
import peft  # imports deepspeed
from lnt_core.distributed.sharded import deepspeed_quietly
print(deepspeed_quietly().accelerator.get_accelerator().device_name())
"""


@pytest.mark.heavy
def test_deepspeed_of_a_trial_on_the_cpu_leaves_the_machines_gpu_alone(tmp_path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DS_ACCELERATOR"}
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_GPU],
        env=environment | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1:] == ["cpu"], done.stderr


def test_a_process_that_imported_deepspeed_for_another_device_says_so(monkeypatch) -> None:
    deepspeed_quietly()  # on this machine: for the CPU
    monkeypatch.setenv("DS_ACCELERATOR", "cuda")
    with pytest.raises(TrialError, match="create the Worker before deepspeed or peft"):
        deepspeed_quietly()


def test_the_libraries_of_a_gpu_are_told_and_a_users_own_values_stay(monkeypatch) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "")
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    settle_device("cpu")
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    settle_device("cuda:1")
    assert os.environ["DS_ACCELERATOR"] == "cuda"
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "max_split_size_mb:64"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


ELSEWHERE = {
    "lnt_core/seeding.py",  # states of torch's generators
    "sweeps/export/retrain.py",  # counts the GPUs of the machine
}


def test_no_other_room_asks_torch_for_the_gpu() -> None:
    asking = re.compile(r"torch\.cuda\.|torch\.backends\.|use_deterministic|matmul_precision")
    found = {
        path.relative_to(ROOT).as_posix()
        for room in ("lnt_core", "sweeps")
        for path in (ROOT / room).rglob("*.py")
        if asking.search(path.read_text())
    }
    ours = {name for name in found if name.startswith("lnt_core/devices/")}
    assert found - ours == ELSEWHERE
