"""Lack of memory on purpose: of a GPU by its fence; a CPU's is played by refusing large batches."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch.nn.functional import embedding
from torch.overrides import TorchFunctionMode

from lnt_core.devices.memory import empty, fence

Done = TypeVar("Done")


@contextlib.contextmanager
def fenced(share: float) -> Iterator[None]:
    """The fence of a trial that has this share of the GPU."""
    empty("cuda")
    fence("cuda", share)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        empty("cuda")


class Refusing(TorchFunctionMode):
    """Raises out of memory where more rows than ``num_rows`` are embedded."""

    def __init__(self, num_rows: int) -> None:
        super().__init__()
        self._num_rows = num_rows

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is embedding and args[0].shape[0] > self._num_rows:
            raise torch.OutOfMemoryError(f"{args[0].shape[0]} rows, of {self._num_rows} allowed")
        return func(*args, **(kwargs or {}))


class Memory:
    """Measures work on a device, and limits the memory of the same work.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str) -> None:
        self._on_gpu = device == "cuda"

    def peak_of(self, work: Callable[[], Done]) -> tuple[int, Done]:
        """The bytes that torch's allocator reserved at most, and what ``work`` returned."""
        if not self._on_gpu:
            return 0, work()
        empty("cuda")
        torch.cuda.reset_peak_memory_stats()
        done = work()
        return torch.cuda.max_memory_reserved(), done

    def limited_between(
        self, small: int, large: int, *, num_rows: int
    ) -> contextlib.AbstractContextManager[None]:
        """Half way between two peaks of :meth:`peak_of`; on a CPU, at most ``num_rows`` at once."""
        if not self._on_gpu:
            return Refusing(num_rows)
        assert small < large, "nothing lies between two equal peaks"
        return fenced((small + large) / 2 / torch.cuda.mem_get_info()[1])
