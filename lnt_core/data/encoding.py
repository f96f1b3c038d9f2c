"""Encodes samples, and leaves out those of which no answer is left within `max_length`."""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence

from lnt_core.data.conversation import Conversations, Encoded
from lnt_core.data.encoders import encoded_each
from lnt_core.data.layouts import some
from lnt_core.data.samples import IMAGE, Sample
from lnt_core.errors import DataError

logger = logging.getLogger(__name__)
TOLD_EVERY_S = 30.0
"""Seconds between two lines of the log that tell how far the encoding is."""
MOST_ADDED = 1000
"""Most tokens that a style or chat template is taken to put before the first answer, the question
and its image aside."""


def encode_samples(
    conversations: Conversations,
    samples: Sequence[Sample],
    *,
    max_length: int,
    processes: int = 1,
) -> Iterator[Encoded]:
    """Token ids of samples with an answer in their first ``max_length`` tokens; not of others.

    ``processes``: How many encode at once, where there are many samples.

    Raises:
        DataError: No sample has an answer left; or texts have the image token or a reserved
            character, or an image after an answer is cut off: the message names these samples.
            Raised at the end, so that it names them all.
    """
    bad, num_kept, told = [], 0, time.monotonic()
    each = encoded_each(conversations, samples, max_length=max_length, processes=processes)
    for number, (sample, encoded) in enumerate(zip(samples, each, strict=True)):
        if isinstance(encoded, str):
            bad.append(f"{sample.name}: {encoded}")
        elif encoded.is_learnt:
            num_kept += 1
            yield encoded
        if time.monotonic() - told >= TOLD_EVERY_S:
            logger.info(
                "%s of %s conversations are encoded", f"{number + 1:,}", f"{len(samples):,}"
            )
            told = time.monotonic()
    if bad:
        raise DataError(
            f"{len(bad)} of {len(samples)} conversations cannot be used: {some(bad, '; ')}"
        )
    if not num_kept:
        raise DataError(f"no conversation has an answer in its first {max_length} tokens")


def may_lack_answer(sample: Sample, *, max_length: int, image_tokens: int) -> bool:
    """Whether the first answer may begin beyond ``max_length``; without a tokenizer.

    A tokenizer makes at most one token of each byte.

    Args:
        sample: The conversation.
        max_length: To how many tokens it is cut.
        image_tokens: Tokens of all its images.
    """
    said = len(sample.system.encode()) + len(sample.turns[0][0].encode())
    return image_tokens + said + MOST_ADDED >= max_length


def may_lose_image(sample: Sample, *, max_length: int, image_tokens: int) -> bool:
    """Whether an image after an answer may be beyond ``max_length``; arguments as above."""
    if not any(IMAGE in question for question, _ in sample.turns[1:]):
        return False
    said = sum(len(text.encode()) for text in (sample.system, *itertools.chain(*sample.turns)))
    added = MOST_ADDED * len(sample.turns)
    return image_tokens + said + added >= max_length
