"""Seeding of random number generators, and torch's number of threads."""

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


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
