"""Seeding of random number generators, and torch's number of threads."""

import contextlib
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lnt_core.devices.chosen import is_gpu


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)  # noqa: TID251  the only module that may
    np.random.seed(seed)  # noqa: NPY002  libraries still draw from the global generator
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded_apart(seed: int) -> Iterator[None]:
    """Seed within this context, and restore the (CPU) generators' states on exit."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    seed_everything(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def random_states(device: str | torch.device) -> dict[str, torch.Tensor | None]:
    """States of torch's generators of the CPU and of this device, for a checkpoint.

    Not of other GPUs: the process that resumes may see fewer.
    """
    own = torch.cuda.get_rng_state(device) if is_gpu(device) else None
    return {"rng": torch.get_rng_state(), "cuda_rng": own}


def set_random_states(states: dict[str, Any], device: str | torch.device) -> None:
    """Restore what :func:`random_states` returned, wherever its tensors were loaded to."""
    torch.set_rng_state(states["rng"].cpu())
    if is_gpu(device) and isinstance(states["cuda_rng"], torch.Tensor):
        torch.cuda.set_rng_state(states["cuda_rng"].cpu(), device)


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator seeded by ``key``, so that draws under different keys are independent."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Use ``count`` torch threads within this context; their number affects rounding in sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
