"""Which copies of a trial may be asked for, and what they are."""

import json

import pytest
import yaml

from lnt_core.config import StartedFrom
from lnt_core.identity import trial_id
from sweeps.config import SweepConfig
from sweeps.driver.clones import change_problems, clone, parse_changes, tunable_of
from sweeps.plan.labels import label
from sweeps.plan.space import trials
from sweeps.storage.execution import new_execution
from sweeps.storage.extra_trials import POINT, add, all_added, read_added, take_back
from sweeps.tracking.requests import ANSWERED, ASKED, Request, unanswered
from sweeps.tracking.runs import flat
from sweeps.worker.context import Context


@pytest.fixture
def sweep(tmp_path) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {"strategy": [{"name": "lora", "rank": 8}], "learning_rate": [1e-3, 1e-4]},
            "train": {"epochs": 2, "batch_size": 8, "micro_batch_size": 8},
            "tracking": {"storage": str(tmp_path)},
        }
    )


@pytest.fixture
def original(sweep):
    return trials(sweep)[0]


def problems(original, *given, from_checkpoint=False, scheduler="none") -> list[str]:
    changes, found = parse_changes(given)
    params = flat(original.model_dump(mode="json", exclude_none=True))
    return found + change_problems(
        tunable_of(params), changes, from_checkpoint=from_checkpoint, scheduler=scheduler
    )


def cloned(original, *given, started_from=None):
    changes, _ = parse_changes(given)
    return clone(original, (), started_from, Request("clone", trial_id(original), changes))


def test_what_mlflow_has_of_a_trial_is_enough_to_check_against(original) -> None:
    tunable = tunable_of(flat(original.model_dump(mode="json", exclude_none=True)))
    assert tunable.strategy == original.strategy
    assert tunable.train == original.train
    assert tunable.learning_rate == original.learning_rate


@pytest.mark.parametrize(
    "given", [["learning_rate=3e-4"], ["rank=16"], ["train.weight_decay=0.1", "rank=4"]]
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
        (["train.epochs=3"], {"scheduler": "asha"}, "train.epochs cannot change under search.sch"),
        (["name=full"], {}, "the key is 'name', but must be one of "),
    ],
)
def test_what_makes_no_sense_is_refused(original, given, kwargs, told) -> None:
    assert problems(original, *given, **kwargs)[0].startswith(told)


def test_a_clone_is_the_trial_with_the_values_changed(original) -> None:
    added = cloned(original, "learning_rate=3e-4", "rank=16", "train.weight_decay=0.1")
    config = added.config
    assert label(config.strategy, config.learning_rate, added.values) == (
        "lora rank=16 train.weight_decay=0.1 lr=3e-4"
    )
    train = original.train.model_copy(update={"weight_decay": 0.1})
    strategy = original.strategy.model_copy(update={"rank": 16})
    expected = {"learning_rate": 3e-4, "strategy": strategy, "train": train}
    assert config == original.model_copy(update=expected)
    assert added.cloned_from == trial_id(original)


def test_steps_in_place_of_epochs_take_the_epochs_away(original) -> None:
    assert problems(original, "train.max_steps=5") == []
    train = cloned(original, "train.max_steps=5").config.train
    assert (train.max_steps, train.epochs) == (5, None)


def test_a_warm_clone_is_another_trial_than_the_cold_one(original) -> None:
    warm = cloned(original, "learning_rate=3e-4", started_from=StartedFrom(trial="abc", step=7))
    cold = cloned(original, "learning_rate=3e-4")
    assert trial_id(warm.config) != trial_id(cold.config)
    assert warm.values == (("from", "abc@7"),)


def test_added_trials_are_found_again_and_carried_whole(sweep, original, tmp_path) -> None:
    context = Context(sweep, new_execution(sweep), tmp_path)
    added = cloned(original, "learning_rate=3e-4", "train.weight_decay=0.1")
    name = trial_id(added.config)
    assert read_added(context.execution, name) is None
    for _ in range(2):
        add(context.execution, added)
    assert all_added(context.execution) == {name: added}
    assert added.point == {POINT: name}
    assert context.config(added.point) == added.config
    assert context.point(added.point) == (added.config.strategy, 3e-4, added.values)
    take_back(context.execution, name)
    assert all_added(context.execution) == {}


def test_a_config_with_its_origin_survives_yaml(original) -> None:
    warm = cloned(original, started_from=StartedFrom(trial="abc", step=7)).config
    text = yaml.safe_dump(warm.model_dump(mode="json"))
    assert type(warm).model_validate(yaml.safe_load(text)) == warm


def test_requests_without_an_answer_are_found_among_the_tags() -> None:
    first, second = Request("stop", "abc"), Request("clone", "def", {"rank": 4}, True)
    tags = {
        "lnt.kind": "sweep",
        ASKED + first.id: json.dumps(vars(first)),
        ASKED + second.id: json.dumps(vars(second)),
    }
    assert {request.id for request in unanswered(tags)} == {first.id, second.id}
    assert unanswered(tags | {ANSWERED + first.id: "{}"}) == [second]
