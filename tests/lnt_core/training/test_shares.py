"""A global batch cut by length and dealt to workers: whole, even, little padding."""

import itertools
import math
import operator
import random

from hypothesis import given
from hypothesis import strategies as st

from lnt_core.data.conversation import Encoded
from lnt_core.training.shares import (
    OVERHEAD_TOKENS,
    least_padded,
    micro_batches_each,
    padded_share,
    shares,
)


def of_lengths(lengths) -> list[Encoded]:
    return [Encoded((0,) * length, (0,) * length) for length in lengths]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 6), st.integers(1, 5))
def test_every_sample_is_dealt_once_and_every_worker_has_as_many(lengths, size, workers) -> None:
    chosen = of_lengths(lengths)
    dealt = shares(chosen, size=size, workers=workers)
    parts = list(itertools.chain(*dealt))
    assert sorted(map(id, itertools.chain(*parts))) == sorted(map(id, chosen))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= size
    if workers > 1:
        each = micro_batches_each(len(chosen), size=size, workers=workers)
        assert [len(own) for own in dealt] == [each] * workers
        assert max(sizes) - min(sizes) <= 1


def test_a_batch_that_is_not_split_keeps_its_order() -> None:
    chosen = of_lengths([3, 9, 2])
    assert shares(chosen, size=4, workers=1) == [[chosen]]


@given(st.lists(st.integers(1, 2000), min_size=2, max_size=9), st.integers(1, 4))
def test_no_other_cut_takes_fewer_tokens_and_micro_batches(lengths, size) -> None:
    ordered = sorted(lengths, reverse=True)
    found = [len(part) for part in least_padded(of_lengths(ordered), size=size)]
    inner = range(1, len(ordered))
    cuts = itertools.chain.from_iterable(
        itertools.combinations(inner, number) for number in range(len(ordered))
    )
    every = [list(map(operator.sub, (*cut, len(ordered)), (0, *cut))) for cut in cuts]
    assert cost(ordered, found) == min(cost(ordered, c) for c in every if max(c) <= size)


@given(
    st.lists(st.integers(1, 2000), min_size=2, max_size=9), st.integers(1, 3), st.integers(1, 9000)
)
def test_by_tokens_there_may_be_more_samples_but_no_more_tokens(lengths, size, tokens) -> None:
    ordered = sorted(lengths, reverse=True)
    (parts,) = shares(of_lengths(ordered), size=size, workers=1, most_tokens=tokens)
    found = [len(part) for part in parts]
    inner = range(1, len(ordered))
    cuts = itertools.chain.from_iterable(
        itertools.combinations(inner, number) for number in range(len(ordered))
    )
    every = [list(map(operator.sub, (*cut, len(ordered)), (0, *cut))) for cut in cuts]
    allowed = [cut for cut in every if fits(ordered, cut, size, tokens)]
    if len(ordered) > size:  # else it is one micro-batch as it is
        assert cost(ordered, found) == min(cost(ordered, cut) for cut in allowed)
    assert found in allowed
    several = shares(of_lengths(ordered), size=size, workers=2, most_tokens=tokens)
    assert several == shares(of_lengths(ordered), size=size, workers=2)


def fits(lengths: list[int], sizes: list[int], size: int, tokens: int) -> bool:
    starts = itertools.accumulate([0, *sizes[:-1]])
    return all(
        number <= size or lengths[start] * number <= tokens
        for start, number in zip(starts, sizes, strict=True)
    )


def cost(lengths: list[int], sizes: list[int]) -> int:
    """Tokens, padding and overheads included, of consecutive parts of these sizes."""
    starts = itertools.accumulate([0, *sizes[:-1]])
    return sum(
        lengths[start] * size + OVERHEAD_TOKENS for start, size in zip(starts, sizes, strict=True)
    )


def test_lengths_like_those_of_llava_are_padded_little() -> None:
    """256 tokens of an image and a text of 261 on average; as drawn, padding adds some 41 %."""
    rng, sigma = random.Random(0), 0.36
    middle = math.log(261) - sigma**2 / 2
    lengths = [256 + round(rng.lognormvariate(middle, sigma)) for _ in range(50 * 128)]
    batches = [
        of_lengths(batch) for batch in (lengths[i : i + 128] for i in range(0, len(lengths), 128))
    ]
    as_drawn = [batch[i : i + 16] for batch in batches for i in range(0, 128, 16)]
    for workers in (1, 4):
        cut = [p for b in batches for own in shares(b, size=16, workers=workers) for p in own]
        assert added(as_drawn) > 0.38
        assert added(cut) < 0.09


def added(micro_batches) -> float:
    """Padding as a share of what is not padding."""
    share = padded_share(micro_batches)
    return share / (1 - share)
