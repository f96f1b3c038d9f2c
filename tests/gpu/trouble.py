"""Errors of a device on purpose, each in a process of its own: ``-m tests.gpu.trouble NAME``.

Prints JSON: the error's type and message, and what ``lnt_core.devices.faults`` makes of it; of no
error an empty object.
"""

import json
import sys
from collections.abc import Callable

import torch
import torch.distributed as dist

from lnt_core.devices.chosen import is_gpu, settle_device
from lnt_core.devices.faults import has_lost_device, is_out_of_memory
from lnt_core.distributed.ranks import join

MIB = 2**20


def main() -> None:
    error = raised_by(TROUBLES[sys.argv[1]])
    told = {}
    if error is not None:
        told = {
            "error": type(error).__name__,
            "message": str(error).strip().splitlines()[0],
            "out_of_memory": is_out_of_memory(error),
            "lost_device": has_lost_device(error),
            "still_works": raised_by(use) is None,
        }
    print(json.dumps(told))


def raised_by(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  it is what is looked at
        return error
    return None


def use() -> None:
    """What any later trial of this process would do."""
    torch.ones(4, device="cuda" if torch.cuda.is_initialized() else "cpu").sum().item()


def host() -> None:
    """More than any host has."""
    torch.empty(2**48, dtype=torch.uint8)


def allocator() -> None:
    """More than the GPU has, from torch."""
    torch.empty(torch.cuda.mem_get_info()[1] * 2, dtype=torch.uint8, device="cuda")


def filled() -> list[torch.Tensor]:
    """All memory of the GPU, to the last MiB, but for what the caller frees of it."""
    held = []
    for size in (1024 * MIB, 64 * MIB, 2 * MIB):
        while True:
            try:
                held.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
            except torch.OutOfMemoryError:
                break
    return held


def cublas() -> None:
    """A matrix product without memory for cuBLAS's own handle."""
    left = torch.ones(64, 64, device="cuda")
    out = torch.empty_like(left)
    held = filled()
    torch.mm(left, left, out=out)
    torch.cuda.synchronize()
    del held


def cudnn() -> None:
    """A convolution without memory for cuDNN."""
    image, kernel = torch.ones(1, 3, 64, 64, device="cuda"), torch.ones(8, 3, 3, 3, device="cuda")
    held = filled()
    torch.nn.functional.conv2d(image, kernel)
    torch.cuda.synchronize()
    del held


def pinned() -> None:
    """More pinned memory than the host has, which CUDA's own allocation refuses, not torch's."""
    torch.ones(1, device="cuda")
    torch.empty(2**46, dtype=torch.uint8, pin_memory=True)


def nccl() -> None:
    """A collective without memory for NCCL's buffers."""
    torch.cuda.set_device(0)
    join("cuda")
    value = torch.ones(1, device="cuda")
    held = filled()
    dist.all_reduce(value)
    torch.cuda.synchronize()
    del held


def poison() -> None:
    """A failed assertion in a kernel, after which CUDA refuses everything."""
    torch.zeros(4, device="cuda")[torch.tensor([9], device="cuda")].sum().item()


def lose_device(device: str) -> None:
    """What :func:`poison` does, in the middle of something else; on a CPU its error alone."""
    if is_gpu(device):
        poison()
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")


TROUBLES: dict[str, Callable[[], object]] = {
    work.__name__: work for work in (host, allocator, pinned, cublas, cudnn, nccl, poison)
}

if __name__ == "__main__":
    if sys.argv[1] != "host":
        settle_device("cuda")
    main()
