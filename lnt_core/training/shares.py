"""Cuts a global batch into micro-batches of similar lengths, and deals them to the workers."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.distributed.ranks import num_workers, rank

OVERHEAD_TOKENS = 256
"""What a micro-batch costs besides its tokens, in tokens: kernels are launched, and weights read,
once more (assumed; some 100 tokens for a 7B model on an A100, by the speed of its memory)."""


@dataclass(frozen=True)
class Share:
    """What one worker runs of a global batch."""

    micro_batches: tuple[Sequence[Encoded], ...]
    """Equally many for each worker; one without samples runs with :attr:`stand_in`, uncounted."""
    stand_in: Sequence[Encoded]
    """One sample."""
    num_tokens: int
    """Tokens of the global batch."""
    num_answer_tokens: int
    """Those of them that are learnt."""
    padded_share: float
    """Padding among the tokens of the micro-batches of all workers, 0..1."""


def own_share(chosen: Sequence[Encoded], *, size: int, most_tokens: int = 0) -> Share:
    """This worker's share of the global batch ``chosen``.

    Args:
        chosen: The samples of the global batch.
        size: Most samples of a micro-batch.
        most_tokens: As in :func:`shares`.
    """
    dealt = shares(chosen, size=size, workers=num_workers(), most_tokens=most_tokens)
    learnt = [sample.labels[1:] for sample in chosen]
    return Share(
        micro_batches=tuple(dealt[rank()]),
        stand_in=chosen[:1],
        num_tokens=sum(len(sample.input_ids) for sample in chosen),
        num_answer_tokens=sum(len(labels) - labels.count(IGNORE) for labels in learnt),
        padded_share=padded_share(itertools.chain(*dealt)),
    )


def shares(
    chosen: Sequence[Encoded], *, size: int, workers: int, most_tokens: int = 0
) -> list[list[Sequence[Encoded]]]:
    """Each worker's micro-batches of the global batch ``chosen``.

    Sorted by length, so that a micro-batch pads little: its rows are as long as its longest. The
    longest come first, where memory that does not suffice is told at once. A batch that fits one
    micro-batch is not split, and keeps its order. One worker cuts where least is padded. Several
    have equally many micro-batches, of numbers of samples that differ by at most one, and of
    similar lengths at a time: they wait for each other.

    Args:
        chosen: The samples of the global batch.
        size: Most samples of a micro-batch.
        workers: Number of workers.
        most_tokens: One worker's micro-batch may have more samples than ``size``, as long as these
            are no more tokens, padding included.

    Returns:
        For each worker, its micro-batches. Some are empty if there are fewer samples than workers.

    Example:
        >>> samples = [Encoded((0,) * length, (0,) * length) for length in (3, 9, 2, 8, 4, 7)]
        >>> lengths = lambda part: [len(sample.input_ids) for sample in part]
        >>> [lengths(part) for part in shares(samples, size=3, workers=1)[0]]
        [[9, 8, 7], [4, 3, 2]]
        >>> [[lengths(part) for part in own] for own in shares(samples, size=2, workers=2)]
        [[[9, 8], [2]], [[7, 4], [3]]]
    """
    rounds = micro_batches_each(len(chosen), size=size, workers=workers)
    count = rounds * workers
    if count > 1:
        chosen = sorted(chosen, key=lambda sample: len(sample.input_ids), reverse=True)
        if workers == 1:
            return [least_padded(chosen, size=size, most_tokens=most_tokens)]
    parts = [slice_of(chosen, index, count) for index in range(count)]
    dealt: list[list[Sequence[Encoded]]] = [[] for _ in range(workers)]
    for start in range(0, count, workers):
        in_turn = dealt if start // workers % 2 == 0 else reversed(dealt)  # sums stay similar
        for own, part in zip(in_turn, parts[start : start + workers], strict=True):
            own.append(part)
    return dealt


def least_padded(
    chosen: Sequence[Encoded], *, size: int, most_tokens: int = 0
) -> list[Sequence[Encoded]]:
    """Cut samples, the longest first, into micro-batches that together take least time.

    The time is taken to be that of their tokens, padding included, and of ``OVERHEAD_TOKENS`` each.

    Args:
        chosen: Samples by descending length.
        size: Most samples of a micro-batch.
        most_tokens: As in :func:`shares`.

    Example:
        >>> samples = [Encoded((0,) * n, (0,) * n) for n in (900, 880, 200, 190, 180, 170)]
        >>> [len(part) for part in least_padded(samples, size=4)]
        [2, 4]
        >>> [len(part) for part in least_padded(samples, size=1, most_tokens=900)]
        [1, 1, 4]
    """
    lengths = [len(sample.input_ids) for sample in chosen]
    least, start_of = [0.0], [0]  # of the first samples, by their number
    for end in range(1, len(chosen) + 1):
        costs = []
        for start in reversed(range(end)):
            tokens = lengths[start] * (end - start)
            if end - start > size and tokens > most_tokens:
                break  # as for all earlier starts, which have more of both
            costs.append((least[start] + tokens + OVERHEAD_TOKENS, start))
        cost, start = min(costs)
        least.append(cost)
        start_of.append(start)
    parts, end = [], len(chosen)
    while end:
        parts.append(chosen[start_of[end] : end])
        end = start_of[end]
    return parts[::-1]


def micro_batches_each(num_samples: int, *, size: int, workers: int) -> int:
    """The number of micro-batches that each worker has of a global batch.

    Example:
        >>> micro_batches_each(7, size=2, workers=2)
        2
    """
    return math.ceil(math.ceil(num_samples / workers) / size)


def padded_share(micro_batches: Iterable[Sequence[Encoded]]) -> float:
    """The share of padding among the tokens of micro-batches, 0..1.

    Example:
        >>> round(padded_share([[Encoded((1, 2, 3), (1, 2, 3)), Encoded((1,), (1,))]]), 3)
        0.333
    """
    tokens = padded = 0
    for samples in micro_batches:
        lengths = [len(sample.input_ids) for sample in samples]
        tokens += sum(lengths)
        padded += max(lengths, default=0) * len(lengths)
    return 1 - tokens / padded


def slice_of(samples: Sequence[Encoded], index: int, count: int) -> Sequence[Encoded]:
    """The ``index``-th of ``count`` consecutive parts, whose sizes differ by at most one.

    Example:
        >>> [slice_of("abcde", i, 3) for i in range(3)]
        ['ab', 'cd', 'e']
    """
    size, larger = divmod(len(samples), count)
    start = index * size + min(index, larger)
    return samples[start : start + size + (index < larger)]
