"""Points that are repeated with further seeds: who wins, what is shown, whose weights stay."""

import io
import statistics
from dataclasses import replace
from itertools import permutations

import pytest
from rich.console import Console

from lnt_core.identity import trial_id
from sweeps.cli.best import as_json, print_winners
from sweeps.config import SweepConfig
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.space import trials
from sweeps.results.pareto import AXES, pareto_front
from sweeps.results.selection import Sweep, Trial, winners
from sweeps.storage.execution import Execution, Result


def seeds(rate: float, *scores: float, strategy="full", trainable=10) -> list[Trial]:
    """A point with the sweep's seed 0 and further ones."""
    return [
        Trial(
            run_id=f"{strategy}-{rate}-{seed}",
            trial_id=f"{rate}-{seed}",
            strategy=strategy,
            learning_rate=rate,
            status="finished",
            score=score,
            report_score=None,
            trainable_parameters=trainable,
            trainable_share=0.5,
            seed=seed,
            is_repeat=seed > 0,
        )
        for seed, score in enumerate(scores)
    ]


LUCKY = [*seeds(1e-3, 10.0, 2.0, 3.0), *seeds(1e-4, 6.0, 7.0, 8.0), *seeds(1e-5, 9.0)]


def test_the_highest_mean_wins_and_stands_for_the_sweeps_own_seed() -> None:
    (winner,) = winners(LUCKY)
    assert (winner.trial.learning_rate, winner.trial.seed, winner.trial.score) == (1e-4, 0, 6.0)
    assert winner.seeds is not None
    assert (winner.seeds.n, winner.seeds.mean) == (3, 7.0)
    assert winner.seeds.sd == pytest.approx(statistics.stdev([6.0, 7.0, 8.0]))


def test_fewer_seeds_never_win_against_more() -> None:
    assert winners([*seeds(1e-3, 1.0, 1.0), *seeds(1e-4, 99.0)])[0].trial.learning_rate == 1e-3


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


def test_repeats_are_shown_only_where_there_are_any() -> None:
    def printed(trials) -> str:
        console = Console(file=io.StringIO(), width=120)
        print_winners(console, Sweep("s", "r", "FINISHED", None, "x", tuple(trials)))
        return console.file.getvalue()

    assert "7.00 ± 1.00 (3)" in printed(LUCKY)
    assert "Over seeds, full: 1e-4: 7.00 ± 1.00 (3); 1e-3: 5.00 ± 4.36 (3)." in printed(LUCKY)
    assert "±" not in printed(seeds(1e-3, 1.0))


def test_the_json_has_them() -> None:
    content = as_json(Sweep("s", "r", "FINISHED", None, "x", tuple(LUCKY)))
    assert content["winners"][0]["seeds"] == {"n": 3, "mean": 7.0, "sd": 1.0}
    assert [(p["learning_rate"], p["n"]) for p in content["repeated"]] == [(1e-4, 3), (1e-3, 3)]


def test_a_lucky_repeat_is_not_on_the_pareto_front() -> None:
    found = pareto_front(seeds(1e-3, 5.0, 99.0), AXES[0].of)
    assert [trial.score for trial in found] == [5.0]


@pytest.fixture
def configs():
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {"strategy": ["layernorm"], "learning_rate": [1e-3, 1e-4, 1e-5]},
        }
    )
    return trials(sweep)


def test_ids_of_trials_without_a_seed_of_their_own_stay(configs) -> None:
    """The figure is of the code before train_seed was there."""
    repeat = configs[0].model_copy(update={"train_seed": 1})
    assert trial_id(configs[0]) == "70dac412b8a4"
    assert trial_id(repeat) != trial_id(configs[0])


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_the_weights_of_the_point_with_the_best_mean_stay(configs, order, tmp_path) -> None:
    first, second, third = configs
    ended = [
        ("first", first, 10.0),
        ("second", second, 9.0),
        ("third", third, 1.0),
        ("first-1", first.model_copy(update={"train_seed": 1}), 2.0),
        ("second-1", second.model_copy(update={"train_seed": 1}), 9.0),
    ]
    execution = Execution(tmp_path)
    keeper = WinnerWeights(execution, num_best=2)
    for name, config, score in (ended[index] for index in order):
        (execution.trial(name) / "weights").mkdir(parents=True)
        keeper.keep_best(name, config, Result("finished", 1, {"select/cider": score}))
    keeper.settle()
    left = {path.parent.name for path in tmp_path.glob("trials/*/weights")}
    assert left == {"second"}
