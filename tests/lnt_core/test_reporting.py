"""A trial's weights, scored after its end as they would have been in it."""

import json

import pytest

from lnt_core.reporting import score_weights
from lnt_core.trial import run_trial
from lnt_core.worker import Worker

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("strategy", ["layernorm", "lora", "full", "prefix"])
def test_a_winner_scores_what_its_trial_would_have(
    strategy, trial_config, scenes, tmp_path
) -> None:
    files = scenes.select.model_dump(include={"annotations", "images"})
    held_out = {"task": "loss", **files}
    captions = {"task": "scenes", "name": "captions", "max_new_tokens": 4, **files}
    select = held_out | {"split": "test"}

    def config(when: str):
        report = [task | {"when": when} for task in (held_out, captions)]
        data = {"tune": scenes.tune, "select": select, "report": report}
        return trial_config(strategy={"name": strategy}, learning_rate=1e-2, data=data)

    worker, silent = Worker(tmp_path / "cache"), lambda step, metrics: None
    own = run_trial(config("trials"), out=tmp_path / "own", report=silent, worker=worker).metrics
    won, trial = config("winners"), tmp_path / "trial"
    metrics = run_trial(won, out=trial, report=silent, worker=worker).metrics
    assert metrics["select/loss"] == own["select/loss"]
    assert not any(name.startswith(("loss/", "captions/")) for name in metrics)
    found = score_weights(won, trial / "weights", tmp_path / "reported", worker=worker)
    names = ["loss/loss", "captions/cider"]
    assert [found[name] for name in names] == [own[name] for name in names]
    asked = [json.loads(line) for line in (tmp_path / "own" / "captions_captions.jsonl").open()]
    again = [
        json.loads(line) for line in (tmp_path / "reported" / "captions_captions.jsonl").open()
    ]
    assert asked == again
    base = score_weights(won, None, tmp_path / "base", worker=worker)
    assert base["loss/loss"] != found["loss/loss"]
    fresh = score_weights(won, None, tmp_path / "fresh", worker=prepared(won, tmp_path))
    assert fresh == base


def prepared(config, folder) -> Worker:
    """A worker that has scored nothing."""
    worker = Worker(folder / "cache")
    worker.prepare(config)
    return worker
