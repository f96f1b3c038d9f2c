"""The rate of ``all_reduce`` between the processes of torchrun: ``-m tests.gpu.all_reduce DEVICE``.

Rank 0 prints the backend and GB/s, the bytes of a worker's tensor counted once.
"""

import sys
import time

import torch
import torch.distributed as dist

from lnt_core.devices.chosen import collective_backend, is_gpu, own_device, settle_device
from lnt_core.distributed.ranks import end_process, is_first, join
from tests.benchmarks.gpu_step import synchronise

ROUNDS = 10


def main() -> None:
    settle_device(sys.argv[1])
    device = torch.device(own_device(sys.argv[1]))
    join(str(device))
    values = torch.ones(2**28 if is_gpu(device) else 2**20, device=device)
    dist.all_reduce(values)
    synchronise(device)
    began = time.perf_counter()
    for _ in range(ROUNDS):
        dist.all_reduce(values)
    synchronise(device)
    rate = values.nbytes * ROUNDS / (time.perf_counter() - began) / 1e9
    if is_first():
        print(collective_backend(device), rate)
    end_process()


if __name__ == "__main__":
    main()
