"""The workers of one trial: rank 0 of 1 unless a process group is initialized."""

import os
import sys
from typing import TypeVar

import torch.distributed as dist

from lnt_core.devices.chosen import collective_backend, is_torchrun

Item = TypeVar("Item")


def num_workers() -> int:
    """Number of processes that train this trial together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Rank of this process, from 0."""
    return dist.get_rank() if _joined() else 0


def is_first() -> bool:
    """Whether this is rank 0, which writes files and reports; the others only compute."""
    return rank() == 0


def gather(item: Item) -> list[Item]:
    """The ``item`` of each worker, in rank order; every worker must call this."""
    if num_workers() == 1:
        return [item]
    items: list[Item] = [item] * num_workers()
    dist.all_gather_object(items, item)
    return items


def wait_for_all() -> None:
    """Block until every worker has called this."""
    if num_workers() > 1:
        gather(None)  # dist.barrier would need the device under NCCL


def join(device: str) -> None:
    """Initialize the process group: under ``torchrun`` of its workers, else of this process alone.

    An existing process group is kept.
    """
    if _joined():
        return
    backend = collective_backend(device)
    if is_torchrun():
        dist.init_process_group(backend)
    else:
        os.environ.setdefault("LOCAL_RANK", "0")  # noqa: TID251  DeepSpeed expects the launcher to set it
        alone = dist.HashStore()  # type: ignore[attr-defined]  # not re-exported
        dist.init_process_group(backend, store=alone, rank=0, world_size=1)


def end_process() -> None:
    """Leave the process group and exit with code 0; returns if there is no group.

    Python's own end is passed over: DeepSpeed keeps groups alive, and a thread of one that lets go
    of a tensor of the last collective then would abort the process, which torchrun calls a failure.
    """
    if not _joined():
        return
    dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
