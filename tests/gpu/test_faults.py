"""Errors of a device on purpose: each is taken for what it is."""

import json
import sys

import pytest

from tests.gpu.trials import run_module
from tests.gpu.trouble import TROUBLES

pytestmark = pytest.mark.gpu


def seen(name: str) -> dict:
    told = run_module([sys.executable, "-m", "tests.gpu.trouble", name])
    return json.loads(told.splitlines()[-1])


@pytest.mark.parametrize("name", [name for name in TROUBLES if name != "poison"])
def test_out_of_memory_is_recognised(name, shape, row) -> None:
    """Out of memory on purpose, in each wording"""
    if name != "host" and not shape.on_gpu:
        pytest.skip("a CPU has nothing of the kind")
    told = seen(name)
    title = f"out of memory of {name}"
    if not told:
        row(title, "it had enough: not to be provoked this way")
        return
    known = told["out_of_memory"] and not told["lost_device"]
    row(title, f"{told['error']}: {told['message'][:100]}", "taken for lack of memory", known)
    row("after lack of memory the process still works", told["still_works"], of=name)


@pytest.mark.needs("gpu")
def test_a_poisoned_context_is_recognised(row) -> None:
    """A kernel's failed assertion on purpose"""
    told = seen("poison")
    lost = told["lost_device"] and not told["out_of_memory"] and not told["still_works"]
    row(
        "a failed assertion in a kernel",
        f"{told['error']}: {told['message'][:100]}; the process still works: {told['still_works']}",
        "taken for a lost device, and no later call works",
        lost,
    )
