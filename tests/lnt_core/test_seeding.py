"""Draws that do not depend on what was drawn before."""

import random

import numpy as np
import torch

from lnt_core.seeding import cpu_threads, seed_everything, seeded_apart


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_what_is_seeded_apart_leaves_no_trace() -> None:
    """Else stage 1 would start elsewhere where the tiny model had to be trained first."""
    seed_everything(3)
    expected = draws()
    seed_everything(3)
    with seeded_apart(0):
        inside = draws()
    assert draws() == expected != inside
    with seeded_apart(0):
        assert draws() == inside


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with cpu_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
