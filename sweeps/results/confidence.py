"""Confidence intervals of scores, and of score differences by a paired bootstrap over images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000
BATCH = 1000
"""Resamples drawn at once; memory holds this many times the number of images."""


@dataclass(frozen=True)
class Difference:
    """How much higher one trial scores than another on the same images, with its interval."""

    mean: float
    """CIDEr x 100."""
    low: float
    """Lower end of the confidence interval."""
    high: float

    @property
    def tied(self) -> bool:
        """Whether the confidence interval contains zero."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Interval:
    """Confidence interval of a mean, at level ``CONFIDENCE``."""

    low: float
    high: float


def mean_interval(scores: Sequence[float]) -> Interval:
    """Confidence interval of the mean score over images like these, by Student's t.

    It is not for comparing two trials: on the same images they can differ significantly although
    their intervals overlap (:func:`paired_difference`).

    Args:
        scores: CIDEr x 100 of each image, at least 2.
    """
    mean, n = float(np.mean(scores)), len(scores)
    reach = _quantile_t((1 + CONFIDENCE) / 2, n) * float(np.std(scores, ddof=1)) / math.sqrt(n)
    return Interval(mean - reach, mean + reach)


def paired_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Difference of the mean scores of two trials, with its confidence interval.

    Images are resampled with replacement, with the scores of both trials; CIDEr's document
    frequencies stay those of the whole set. The percentile interval is expanded to match Student's
    t, because it would be too narrow for few images.

    Args:
        ours: The first trial's score of each image, by image name.
        theirs: The second trial's score of each image.
        num_resamples: Number of resamples; more make the interval less random, not narrower.
        seed: Seed of the resampling.

    Raises:
        ValueError: The images differ, or are fewer than 2.

    Source:
        Koehn, Statistical Significance Tests for Machine Translation Evaluation (2004);
        Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 5.3.
    """
    if ours.keys() != theirs.keys() or len(ours) < 2:
        raise ValueError("both trials must have scores of the same images, at least 2")
    images = sorted(ours)
    differences = np.array([ours[image] - theirs[image] for image in images])
    means = _resampled_means(differences, num_resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, _expanded(len(images)))
    return Difference(float(differences.mean()), float(low), float(high))


def _resampled_means(
    values: NDArray[np.float64], num_resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    parts = []
    for start in range(0, num_resamples, BATCH):
        shape = (min(BATCH, num_resamples - start), len(values))
        parts.append(values[rng.integers(len(values), size=shape)].mean(axis=1))
    return np.concatenate(parts)


def _expanded(n: int) -> tuple[float, float]:
    """The quantiles of the resampled means that bound the expanded interval, for n images."""
    from scipy.special import ndtr

    tail = float(ndtr(math.sqrt(n / (n - 1)) * _quantile_t((1 - CONFIDENCE) / 2, n)))
    return tail, 1 - tail


def _quantile_t(share: float, n: int) -> float:
    """A quantile of Student's t of a mean of n values."""
    from scipy.special import stdtrit  # scipy.stats takes over a second to import

    return float(stdtrit(n - 1, share))
