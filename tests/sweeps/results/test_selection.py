"""Winners, ties, the grid's edge, and points that are repeated with further seeds."""

import math
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnt_core.config.bounds import MAX_SEED
from lnt_core.metrics import OBJECTIVES
from sweeps.config import SweepConfig
from sweeps.plan.trials import trials
from sweeps.results.selection import Trial, winners
from sweeps.storage.execution import Result, TrialStatus
from tests.sweeps.results.trials import GRID, LUCKY, seeds, trial


def test_the_best_rate_of_each_strategy_wins_the_best_first() -> None:
    found = winners([*GRID, trial("lora", 1e-3, 2.5), trial("lora", 1e-4, 4.0)])
    assert [(w.trial.strategy, w.trial.learning_rate) for w in found] == [
        ("lora", 1e-4),
        ("full", 1e-3),
    ]


def test_a_tie_goes_to_fewer_parameters_then_to_the_smaller_rate() -> None:
    tied = [
        trial(rate=1e-2, trainable=5),
        trial(rate=1e-3, trainable=9),
        trial(rate=1e-4, trainable=5),
        trial(rate=1e-5, trainable=9),
    ]
    assert winners(tied)[0].trial == tied[2]


@pytest.mark.parametrize("status", ["failed", "diverged", "stopped", "running"])
def test_only_a_finished_trial_can_win(status) -> None:
    assert winners([trial(score=99.0, status=status)]) == []


def test_a_score_that_is_no_number_never_wins() -> None:
    assert winners([trial(score=math.nan), trial(rate=1e-4, score=0.5)])[0].trial.score == 0.5


@given(st.permutations(GRID))
def test_the_order_of_runs_does_not_matter(shuffled) -> None:
    assert winners(shuffled) == winners(GRID)


def test_a_diverged_rate_beyond_keeps_a_winner_off_the_edge() -> None:
    found = winners([trial(rate=1e-2, status="diverged"), *GRID[1:]])
    assert found[0].at_edge == ""


def test_a_single_rate_is_no_edge() -> None:
    assert winners([trial()])[0].at_edge == ""


def test_a_winner_at_an_end_of_the_rates_is_said_to_be_so() -> None:
    found = winners([*GRID, trial("lora", 1e-3, 1.0), trial("lora", 1e-4, 2.0)])
    assert {w.trial.strategy: w.at_edge for w in found} == {"full": "", "lora": "lowest"}


def test_the_highest_mean_wins_and_stands_for_the_sweeps_own_seed() -> None:
    (winner,) = winners(LUCKY)
    assert (winner.trial.learning_rate, winner.trial.seed, winner.trial.score) == (1e-4, 0, 6.0)
    assert winner.seeds is not None
    assert (winner.seeds.n, winner.seeds.mean) == (3, 7.0)
    assert winner.seeds.sd == pytest.approx(statistics.stdev([6.0, 7.0, 8.0]))


def test_fewer_seeds_never_win_against_more() -> None:
    assert winners([*seeds(1e-3, 1.0, 1.0), *seeds(1e-4, 99.0)])[0].trial.learning_rate == 1e-3


def test_a_repeat_with_a_smaller_seed_does_not_stand_for_its_point() -> None:
    own, repeat = seeds(1e-3, 5.0, 6.0)
    (winner,) = winners([replace(own, seed=MAX_SEED), replace(repeat, seed=0)])
    assert winner.trial.score == 5.0


def test_equal_means_go_to_the_smaller_rate() -> None:
    tied = [*seeds(1e-3, 1.0, 3.0), *seeds(1e-4, 3.0, 1.0)]
    assert winners(tied)[0].trial.learning_rate == 1e-4


def test_strategies_are_ordered_by_their_means() -> None:
    found = winners([*seeds(1e-3, 9.0, 1.0), *seeds(1e-3, 6.0, 6.0, strategy="lora")])
    assert [winner.trial.strategy for winner in found] == ["lora", "full"]


def test_a_failed_repeat_counts_for_nothing() -> None:
    failed = replace(seeds(1e-3, 5.0, 0.0)[1], status="failed", score=None)
    assert winners([*seeds(1e-3, 5.0), failed])[0].seeds is None


def test_a_repeat_alone_never_wins() -> None:
    assert winners(seeds(1e-3, 5.0, 6.0)[1:]) == []


def test_the_report_split_does_not_select() -> None:
    search = {"strategy": ["full"], "learning_rate": [1e-3]}
    sweep = SweepConfig.model_validate({"name": "s", "model": {"tiny": True}, "search": search})
    (planned,) = trials(sweep)
    scores = {"select/cider": 1.0, "report/cider": 9.0}
    found = Trial.from_result(planned, Result(TrialStatus.FINISHED, 4, scores))
    assert (found.score, found.report_score) == (1.0, 9.0)


def test_of_losses_the_lowest_wins_and_its_edge_is_told() -> None:
    losses = [replace(one, objective=OBJECTIVES["select/loss"]) for one in GRID]
    rates = {one.learning_rate: one.score for one in GRID}
    best = min(rates, key=rates.__getitem__)
    (found,) = winners(losses)
    assert found.trial.learning_rate == best
    assert found.at_edge == {min(rates): "lowest", max(rates): "highest"}.get(best, "")
    repeated = [replace(one, objective=OBJECTIVES["select/loss"]) for one in seeds(1e-3, 2.0, 4.0)]
    assert winners(repeated)[0].seeds.mean == 3.0
