"""The bootstrap says "tied" as often as it promises, and sees a difference that is there."""

import numpy as np
import pytest
from scipy import stats

from sweeps.results.confidence import _expanded, mean_interval, paired_difference


def scores(values) -> dict[str, float]:
    return {f"{i}.jpg": float(value) for i, value in enumerate(values)}


def captions_of(num_images: int, rng, *, gain: float = 0.0) -> tuple[dict, dict]:
    """Two systems as captions are scored: skewed, and alike on easy and hard images."""
    image = rng.gamma(2.0, 40.0, num_images)
    first, second = (image * rng.gamma(4.0, 0.25, num_images) for _ in range(2))
    return scores(first + gain), scores(second)


@pytest.mark.parametrize("num_images", [16, 100])
def test_equal_systems_are_tied_in_95_of_100_sweeps(num_images) -> None:
    rng = np.random.default_rng(num_images)
    tied = [
        paired_difference(*captions_of(num_images, rng), num_resamples=1000, seed=sweep).tied
        for sweep in range(1000)
    ]
    assert np.mean(tied) == pytest.approx(0.95, abs=0.02)


def test_a_clear_gain_is_seen() -> None:
    found = paired_difference(*captions_of(200, np.random.default_rng(0), gain=30.0))
    assert not found.tied
    assert found.low < found.mean < found.high
    assert found.mean == pytest.approx(30.0, abs=15)


def test_for_many_images_it_is_the_interval_of_students_t() -> None:
    ours, theirs = captions_of(2000, np.random.default_rng(1))
    differences = np.array([ours[image] - theirs[image] for image in ours])
    expected = stats.t.interval(0.95, 1999, differences.mean(), stats.sem(differences))
    found = paired_difference(ours, theirs)
    width = expected[1] - expected[0]
    assert (found.low, found.high) == pytest.approx(expected, abs=0.03 * width)


def test_for_five_images_it_is_expanded_by_students_t_of_four_degrees_of_freedom() -> None:
    normal = -(1.25**0.5) * 2.776445  # t, and sqrt(n / (n - 1)): the resamples' deviation is n's
    assert _expanded(5) == pytest.approx((stats.norm.cdf(normal), stats.norm.cdf(-normal)))


def test_a_mean_is_known_within_students_interval_of_95_percent() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    reach = 4.302653 / 3**0.5  # t for 2 degrees of freedom, times the standard error
    assert (found.low, found.high) == pytest.approx((2 - reach, 2 + reach))


def test_the_order_of_the_pair_only_turns_the_sign() -> None:
    ours, theirs = captions_of(50, np.random.default_rng(2))
    there, back = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert there.mean == pytest.approx(-back.mean)
    assert there.tied == back.tied


def test_the_same_trial_is_tied_with_itself() -> None:
    ours, _ = captions_of(10, np.random.default_rng(3))
    assert paired_difference(ours, ours).tied


@pytest.mark.parametrize("theirs", [{"0.jpg": 1.0}, {"0.jpg": 1.0, "2.jpg": 1.0}])
def test_other_images_do_not_compare(theirs) -> None:
    with pytest.raises(ValueError, match="the same images"):
        paired_difference(scores([1.0, 2.0]), theirs)
