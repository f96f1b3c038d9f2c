"""Which copies of a trial may be asked for, and what they are."""

import pytest

from lnt_core.config import StartedFrom
from sweeps.config import SweepConfig
from sweeps.driver.clones import change_problems, clone, parse_changes, tunable_of
from sweeps.plan.trials import trials
from sweeps.tracking.runs import flat


@pytest.fixture
def sweep() -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {"strategy": [{"name": "lora", "rank": 8}], "learning_rate": [1e-3, 1e-4]},
            "train": {"epochs": 2, "batch_size": 8, "micro_batch_size": 8},
        }
    )


@pytest.fixture
def original(sweep):
    return trials(sweep)[0]


def problems(original, *given, from_checkpoint=False, scheduler="none") -> list[str]:
    changes, found = parse_changes(given)
    params = flat(original.config.model_dump(mode="json", exclude_none=True))
    return found + change_problems(
        tunable_of(params), changes, from_checkpoint=from_checkpoint, scheduler=scheduler
    )


def cloned(original, *given, started_from=None):
    changes, _ = parse_changes(given)
    return clone(original, started_from, "0123456789ab", changes)


def test_what_mlflow_has_of_a_trial_is_enough_to_check_against(original) -> None:
    config = original.config
    tunable = tunable_of(flat(config.model_dump(mode="json", exclude_none=True)))
    assert tunable.strategy == config.strategy
    assert tunable.train == config.train
    assert tunable.learning_rate == config.learning_rate


@pytest.mark.parametrize(
    "given",
    [
        ["learning_rate=3e-4"],
        ["rank=16"],
        ["train.weight_decay=0.1", "rank=4"],
        ["train.rate_ratio={connector: 0.1}"],
    ],
)
def test_rates_options_and_training_may_change(original, given) -> None:
    assert problems(original, *given) == []


def test_every_problem_is_told_at_once(original) -> None:
    found = problems(original, "rnak=4", "x", "learning_rate=2", "train.micro_batch_size=0")
    assert len(found) == 4
    assert found[0] == "'x' is not of the form key=value"
    assert found[1].startswith("the key is 'rnak', but must be one of ")
    assert "did you mean 'rank'?" in found[1]
    assert found[2].startswith("learning_rate is 2")
    assert found[3].startswith("train.micro_batch_size is 0")


@pytest.mark.parametrize(
    ("given", "kwargs", "told"),
    [
        (["rank=8"], {}, "nothing is changed: the clone would be the same trial"),
        (["rank=8", "rank=4"], {}, "rank is given twice"),
        (["rank=4"], {"from_checkpoint": True}, "rank cannot change with --from-checkpoint: "),
        (
            ["train.rate_ratio={connector: 0.1}"],
            {"from_checkpoint": True},
            "train.rate_ratio cannot change with --from-checkpoint: ",
        ),
        (["train.epochs=3"], {"scheduler": "asha"}, "train.epochs cannot change under search.sch"),
        (["name=full"], {}, "the key is 'name', but must be one of "),
    ],
)
def test_what_makes_no_sense_is_refused(original, given, kwargs, told) -> None:
    assert problems(original, *given, **kwargs)[0].startswith(told)


def test_a_clone_is_the_trial_with_the_values_changed(original) -> None:
    changed = cloned(original, "learning_rate=3e-4", "rank=16", "train.weight_decay=0.1")
    assert changed.name == "lora rank=16 train.weight_decay=0.1 lr=3e-4"
    train = original.config.train.model_copy(update={"weight_decay": 0.1})
    strategy = original.config.strategy.model_copy(update={"rank": 16})
    expected = {"learning_rate": 3e-4, "strategy": strategy, "train": train}
    assert changed.config == original.config.model_copy(update=expected)
    assert (changed.added_by, changed.cloned_from) == ("clone", original.id)


def test_steps_in_place_of_epochs_take_the_epochs_away(original) -> None:
    assert problems(original, "train.max_steps=5") == []
    train = cloned(original, "train.max_steps=5").config.train
    assert (train.max_steps, train.epochs) == (5, None)


def test_a_warm_clone_is_another_trial_than_the_cold_one(original) -> None:
    warm = cloned(original, "learning_rate=3e-4", started_from=StartedFrom(trial="abc", step=7))
    cold = cloned(original, "learning_rate=3e-4")
    assert warm.id != cold.id
    assert warm.values == (("from", "abc@7"),)
