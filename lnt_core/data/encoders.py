"""Encodes samples one by one, in several processes where there are many."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import connection

from lnt_core.data.conversation import Conversations, Encoded
from lnt_core.data.samples import Sample
from lnt_core.errors import DataError

LEAST = 20_000
"""Samples from which processes save more than they take to start: 1.6 times as fast by two hyper-
threads of one core, and 0.9 times with 5,000 (docs/LOG.md, 2026-11-26)."""
AT_A_TIME = 256
"""Samples that a process takes at a time."""


def encoded_each(
    conversations: Conversations, samples: Sequence[Sample], *, max_length: int, processes: int
) -> Iterator[Encoded | str]:
    """What each sample is encoded to, in their order, or why it cannot be used.

    Args:
        conversations: Encodes them.
        samples: The samples.
        max_length: Longer conversations are truncated to this many tokens.
        processes: How many processes encode at once, from ``LEAST`` samples on.
    """
    if processes == 1 or len(samples) < LEAST:
        for sample in samples:
            yield _encoded(conversations, sample, max_length)
        return
    with ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),  # a fork would inherit locks, and CUDA
        _begin,
        (conversations, max_length),
    ) as pool:
        yield from pool.map(_encode_here, samples, chunksize=AT_A_TIME)


class _Encoder:
    """What a process of the pool encodes with."""

    conversations: Conversations
    max_length: int


def _begin(conversations: Conversations, max_length: int) -> None:
    _Encoder.conversations, _Encoder.max_length = conversations, max_length
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is killed, which it would outlive."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _encode_here(sample: Sample) -> Encoded | str:
    return _encoded(_Encoder.conversations, sample, _Encoder.max_length)


def _encoded(conversations: Conversations, sample: Sample, max_length: int) -> Encoded | str:
    try:
        return conversations.encode(sample, max_length=max_length)
    except DataError as error:
        return str(error)
