"""One place that seeds every random number generator of a process."""

import hashlib
import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)  # noqa: TID251  this is the one place
    np.random.seed(seed)  # noqa: NPY002  libraries below still draw from the global generator
    torch.manual_seed(seed)


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator of its own for each key, so that one draw never shifts another."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
