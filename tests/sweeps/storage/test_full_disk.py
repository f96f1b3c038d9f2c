"""A full disk is known whichever library meets it first."""

import errno
import os

import pytest

from sweeps.storage.full_disk import disk_full, is_disk_full

FULL_DEVICE = "/dev/full"
pytestmark = pytest.mark.skipif(not os.path.exists(FULL_DEVICE), reason="Linux has it")  # noqa: PTH110


def raised(write) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  whatever the library raises
        write()
    return caught.value


def write_text() -> None:
    with open(FULL_DEVICE, "w") as file:  # noqa: PTH123
        file.write("x")


def write_checkpoint() -> None:
    import torch

    with open(FULL_DEVICE, "wb") as file:  # noqa: PTH123
        torch.save({"x": torch.zeros(100_000)}, file)


@pytest.mark.parametrize("write", [write_text, write_checkpoint])
def test_what_is_raised_on_a_full_device_is_known(write) -> None:
    assert is_disk_full(raised(write))


def test_it_is_found_behind_what_was_raised_from_it() -> None:
    outer = RuntimeError("could not save")
    outer.__cause__ = OSError(errno.ENOSPC, "full")
    assert is_disk_full(outer)
    assert not is_disk_full(OSError(errno.EACCES, "denied"))


def test_what_users_are_told_of_is_known_too() -> None:
    """Else a sweep would wait for ever to log what cannot be written."""
    assert is_disk_full(disk_full("/data"))
