"""Constants of the sweep file's config."""

from sweeps.config import PAPER_RATES


def test_the_papers_grid_has_its_ends_and_its_count() -> None:
    assert len(PAPER_RATES) == 11
    assert (PAPER_RATES[0], PAPER_RATES[-1]) == (2e-3, 1e-7)
    assert list(PAPER_RATES) == sorted(PAPER_RATES, reverse=True)
