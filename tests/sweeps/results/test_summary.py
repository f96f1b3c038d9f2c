"""Advice about winners at an edge, and the scores of repeated points."""

from sweeps.results.selection import Sweep, winners
from sweeps.results.summary import edge_advice, repeats
from tests.sweeps.results.trials import GRID, LUCKY, seeds, trial


def test_the_advice_at_an_edge_says_which_way_to_go() -> None:
    found = winners([*GRID, trial("lora", 1e-3, 1.0), trial("lora", 1e-4, 2.0)])
    assert edge_advice(found) == [
        "Best at the lowest rate tried: lora. Smaller rates may be better: "
        "extend search.learning_rate."
    ]


def test_repeated_points_are_told_with_mean_deviation_and_count() -> None:
    def told(trials) -> list[str]:
        return repeats(Sweep("s", "r", "FINISHED", None, "x", tuple(trials)))

    assert told(LUCKY) == [
        "Mean ± sd over seeds (number of seeds), full: 1e-4: 7.00 ± 1.00 (3); "
        "1e-3: 5.00 ± 4.36 (3)."
    ]
    assert told(seeds(1e-3, 1.0)) == []
