"""Is the best really better? A paired bootstrap over the images that two trials captioned."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
NUM_RESAMPLES = 10_000
BATCH = 1000
"""Resamples drawn at once: images x this many indices are held in memory."""


@dataclass(frozen=True)
class Difference:
    """How much better one trial is than another, on the same images."""

    mean: float
    """CIDEr x 100."""
    low: float
    """Lower end of the confidence interval."""
    high: float

    @property
    def tied(self) -> bool:
        """The images cannot tell the two apart."""
        return self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Interval:
    """Where a mean lies, at ``CONFIDENCE``."""

    low: float
    high: float


def mean_interval(scores: Sequence[float]) -> Interval:
    """Of the mean over images like these, by Student's t.

    Trials are scored on the same images: intervals of two that overlap may still differ clearly,
    which :func:`paired_difference` tells.

    Args:
        scores: CIDEr x 100 of each image, at least 2.
    """
    mean, error = float(np.mean(scores)), float(stats.sem(scores))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(scores) - 1)) * error
    return Interval(mean - reach, mean + reach)


def paired_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Compare the scores of two trials, by image.

    Images are resampled with replacement, both trials' scores together; CIDEr's document
    frequencies stay those of the whole set. The ends of the percentile interval are moved outward
    as Student's t asks for, without which few images would promise too much.

    Args:
        ours: Score of each image.
        theirs: Of the same images.
        num_resamples: More make the interval steadier, not narrower.
        seed: Of the resampling.

    Raises:
        ValueError: The images differ, or are fewer than 2.

    Source:
        Koehn, Statistical Significance Tests for Machine Translation Evaluation (2004);
        Hesterberg, What Teachers Should Know About the Bootstrap (2015), section 5.3.
    """
    if ours.keys() != theirs.keys() or len(ours) < 2:
        raise ValueError("two trials compare on the same images, at least 2")
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
    """Quantiles of the resampled means between which ``CONFIDENCE`` lies, for n images."""
    t = stats.t.ppf((1 - CONFIDENCE) / 2, n - 1)
    tail = float(stats.norm.cdf(math.sqrt(n / (n - 1)) * t))
    return tail, 1 - tail
