"""What is left out of the training data is told before a sweep starts."""

import json

import pytest

from lnt_core.errors import ConfigError
from sweeps.config import SweepConfig
from sweeps.plan.checks import check_sweep
from tests.parts import model_config

GOOD = [("human", "Where is it?"), ("gpt", "On sand.")]
LONG = [("human", "What is there? " * 100), ("gpt", "A circle.")]


@pytest.fixture
def told(parts, scenes, tmp_path):
    """The notes of a sweep on conversations."""

    def check(*said, **train) -> list[str]:
        content = [
            {"id": n, "conversations": [{"from": who, "value": text} for who, text in turns]}
            for n, turns in enumerate(said)
        ]
        path = tmp_path / "llava.json"
        path.write_text(json.dumps(content))
        tune = {"annotations": str(path), "images": str(tmp_path)}
        data = scenes.model_dump() | {"tune": tune, "align": None}
        sweep = {
            "name": "told",
            "model": model_config(parts).model_dump(),
            "data": data,
            "align": None,
            "search": {"strategy": ["layernorm"], "learning_rate": [1e-3]},
            "train": {"epochs": 1, "batch_size": 2, "micro_batch_size": 1, **train},
            "tracking": {"storage": str(tmp_path)},
        }
        return check_sweep(SweepConfig.model_validate(sweep))

    return check


def test_what_is_left_out_is_counted_and_named(told) -> None:
    leading = [("gpt", "Hello."), *GOOD]
    odd = [*GOOD, ("human", "And?")]
    system = [("system", "Be kind."), *GOOD]
    assert told(GOOD, leading, odd, system, LONG, max_length=100) == [
        "data.tune: 1 of 5 conversations: each begins with an answer: that turn is left out, as in "
        "LLaVA: entry [1], id 1",
        "data.tune: 1 of 5 conversations: each ends with a question, which is left out: entry [2],"
        " id 2",
        "data.tune: 1 of 5 conversations begin with a system turn, for which this model's "
        "conversations have no place; it is left out: entry [3], id 3",
        "data.tune: 1 of 5 conversations have no answer in their first 100 tokens (max_length) and "
        "are left out: entry [4], id 4",
    ]
    assert told(GOOD) == []


def test_a_length_that_leaves_no_answer_is_refused(told) -> None:
    with pytest.raises(ConfigError, match=r"data\.tune: max_length is 100, but no conversation"):
        told(LONG, LONG, max_length=100)


def test_drawn_scenes_need_room_for_their_captions_too(parts, tmp_path) -> None:
    sweep = {
        "name": "drawn",
        "model": model_config(parts).model_dump(),
        "data": {"scenes": {"num_train": 2, "num_val": 2, "num_test": 2}},
        "search": {"strategy": ["layernorm"], "learning_rate": [1e-3]},
        "train": {"max_length": 17},
        "tracking": {"storage": str(tmp_path)},
    }
    with pytest.raises(ConfigError, match="max_length is 17, but no conversation has an answer"):
        check_sweep(SweepConfig.model_validate(sweep))
