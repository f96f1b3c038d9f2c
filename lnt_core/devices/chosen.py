"""Which device a process uses, and what libraries must be told of it before they use it."""

import os

import torch
import torch.distributed as dist

ENVIRONMENT_OF_GPU = {
    # segments that grow: micro-batches differ in length, and fixed ones would be fragmented
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    # without one of two fixed sizes, cuBLAS is not deterministic; this is also its own for an H100
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}
"""Variables that CUDA's libraries read when they are first used; a user's own value is kept."""


def default_device() -> str:
    """``cuda`` if torch can use a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def own_device(device: str) -> str:
    """This worker's device: under ``torchrun``, ``cuda`` means the GPU of the local rank."""
    if device == "cuda" and is_torchrun():
        device = f"cuda:{dist.get_node_local_rank()}"
        torch.cuda.set_device(device)
    return device


def is_torchrun() -> bool:
    """Whether ``torchrun`` started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def is_gpu(device: str | torch.device) -> bool:
    """Whether this is a GPU.

    Example:
        >>> is_gpu("cuda:1"), is_gpu(torch.device("cpu"))
        (True, False)
    """
    return torch.device(device).type == "cuda"


def settle_device(device: str) -> None:
    """Tell libraries the device of this process; call it before they are imported or use it.

    Left to itself, DeepSpeed takes the GPU of a machine that has one, also for a trial on the CPU.
    """
    os.environ["DS_ACCELERATOR"] = torch.device(device).type  # noqa: TID251  DeepSpeed reads it
    if is_gpu(device):
        for name, value in ENVIRONMENT_OF_GPU.items():
            os.environ.setdefault(name, value)  # noqa: TID251  torch reads them


def settled_type() -> str | None:
    """The type of the device that :func:`settle_device` was called with; None if it was not."""
    return os.environ.get("DS_ACCELERATOR")  # noqa: TID251


def collective_backend(device: str | torch.device) -> str:
    """The backend of ``torch.distributed`` for tensors on this device.

    Example:
        >>> collective_backend("cuda:1"), collective_backend("cpu")
        ('nccl', 'gloo')
    """
    return "nccl" if is_gpu(device) else "gloo"
