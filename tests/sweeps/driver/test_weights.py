"""Which weights stay on disk."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.config import SweepConfig
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.trials import SweepTrial, trials
from sweeps.results.selection import Trial, winners
from sweeps.storage.execution import Execution, Result


def trials_of(strategies: list[str], rates: list[float], **search) -> list[SweepTrial]:
    search |= {"strategy": strategies, "learning_rate": rates}
    return trials(
        SweepConfig.model_validate({"name": "s", "model": {"tiny": True}, "search": search})
    )


SIX = trials_of(["full", "layernorm"], [1e-2, 1e-3, 1e-4])


def finished(score: float) -> Result:
    return Result("finished", 1, {"select/cider": score, "params/trainable": 5.0})


def end(
    keeper: WinnerWeights, execution: Execution, ended: list[tuple[SweepTrial, Result]]
) -> None:
    """Report the end of trials, in order; the finished ones have weights on disk."""
    for trial, result in ended:
        if result.status == "finished":
            (execution.trial(trial.id) / "weights").mkdir(parents=True)
        keeper.keep_best(trial, result)


def keep(execution: Execution, ended: list[tuple[SweepTrial, Result]]) -> set[str]:
    """IDs of the trials whose weights are kept when all have ended, in order."""
    end(WinnerWeights(execution), execution, ended)
    return kept(execution)


def kept(execution: Execution) -> set[str]:
    return {path.parent.name for path in execution.path.glob("trials/*/weights")}


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=6, max_size=6), st.permutations(range(6))
)
def test_in_any_order_the_winners_weights_stay_and_no_others(
    tmp_path_factory, scores, order
) -> None:
    execution = Execution(tmp_path_factory.mktemp("execution"))
    ended = list(zip(SIX, map(finished, scores), strict=True))
    found = winners(Trial.from_result(trial, result) for trial, result in ended)
    expected = {winner.trial.trial_id for winner in found}
    assert keep(execution, [ended[index] for index in order]) == expected


@given(st.permutations(range(3)), st.permutations(range(3)))
def test_of_equal_trials_at_one_rate_it_is_always_the_same_one(
    tmp_path_factory, ended, read
) -> None:
    """They differ in another value; those who ask MLflow are given them in its order."""
    equal = trials_of(["full"], [1e-3], values={"train.weight_decay": (0.0, 0.1, 0.2)})
    execution = Execution(tmp_path_factory.mktemp("execution"))
    left = keep(execution, [(equal[index], finished(1.0)) for index in ended])
    (winner,) = winners(Trial.from_result(equal[index], finished(1.0)) for index in read)
    assert left == {winner.trial.trial_id}


@pytest.mark.parametrize("status", ["failed", "diverged", "stopped"])
def test_a_trial_without_a_score_never_costs_another_its_weights(status, tmp_path) -> None:
    results = [Result(status)] * 2 + [finished(0.0), finished(1.0)] + [Result(status)] * 2
    ended = list(zip(SIX, results, strict=True))
    assert keep(Execution(tmp_path), ended) == {SIX[2].id, SIX[3].id}


def test_a_score_that_is_no_number_costs_no_other_trial_its_weights(tmp_path) -> None:
    good, bad, *_ = SIX
    ended = [(good, finished(1.0)), (bad, finished(float("nan")))]
    assert keep(Execution(tmp_path), ended) == {good.id}


def test_a_trial_told_of_twice_keeps_its_weights(tmp_path) -> None:
    keeper, execution = WinnerWeights(Execution(tmp_path)), Execution(tmp_path)
    (execution.trial(SIX[0].id) / "weights").mkdir(parents=True)
    for _ in range(2):
        keeper.keep_best(SIX[0], finished(1.0))
    assert kept(execution) == {SIX[0].id}


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_the_weights_of_the_point_with_the_best_mean_stay(order, tmp_path) -> None:
    first, second, third = trials_of(["layernorm"], [1e-3, 1e-4, 1e-5])
    ended = [
        (first, finished(10.0)),
        (second, finished(9.0)),
        (third, finished(1.0)),
        (repeat(first), finished(2.0)),
        (repeat(second), finished(9.0)),
    ]
    execution = Execution(tmp_path)
    keeper = WinnerWeights(execution, num_best=2)
    end(keeper, execution, [ended[index] for index in order])
    assert kept(execution) == {first.id, second.id}
    keeper.settle()
    assert kept(execution) == {second.id}


def repeat(trial: SweepTrial) -> SweepTrial:
    """The same trial with another seed of training."""
    return replace(trial, config=trial.config.model_copy(update={"train_seed": 1}))
