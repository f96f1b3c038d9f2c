"""This process among the workers of one trial; it is the only one unless a process group stands."""

import os
from typing import TypeVar

import torch
import torch.distributed as dist

Item = TypeVar("Item")


def num_workers() -> int:
    """How many processes train this trial together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """This one's number, from 0 on."""
    return dist.get_rank() if _joined() else 0


def is_first() -> bool:
    """Rank 0 writes files and reports; the others compute their share."""
    return rank() == 0


def gather(item: Item) -> list[Item]:
    """What each worker gave, in the order of ranks; every worker must call it."""
    if num_workers() == 1:
        return [item]
    items: list[Item] = [item] * num_workers()
    dist.all_gather_object(items, item)
    return items


def wait_for_all() -> None:
    """Return when every worker is here."""
    if num_workers() > 1:
        gather(None)  # a barrier of NCCL's would have to be told the device


def join(device: str) -> None:
    """Join the other workers: those of ``torchrun``, or none where nothing started this process.

    A process group that stands already is kept.
    """
    if _joined():
        return
    backend = "nccl" if device.startswith("cuda") else "gloo"
    if torchrun():
        dist.init_process_group(backend)
    else:
        os.environ.setdefault("LOCAL_RANK", "0")  # noqa: TID251  DeepSpeed wants launchers to set it
        alone = torch.distributed.HashStore()  # type: ignore[attr-defined]  # not re-exported
        dist.init_process_group(backend, store=alone, rank=0, world_size=1)


def leave() -> None:
    """Leave the other workers, at the end."""
    if _joined():
        dist.destroy_process_group()


def torchrun() -> bool:
    """Whether ``torchrun`` started this process, as one of several."""
    return dist.is_available() and dist.is_torchelastic_launched()


def own_device(device: str) -> str:
    """``cuda`` as the GPU of this worker, where ``torchrun`` starts one for each."""
    if device == "cuda" and torchrun():
        device = f"cuda:{dist.get_node_local_rank()}"
        torch.cuda.set_device(device)
    return device


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()
