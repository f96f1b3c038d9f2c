"""Defects found by breaking things, and kept from coming back."""

import json
import warnings

import pytest
import yaml
from rich.console import Console

from lnt_core.errors import ConfigError
from lnt_core.identity import trial_id
from sweeps.cli.arguments import EXIT_REFUSED
from sweeps.cli.main import main
from sweeps.config import SweepConfig
from sweeps.driver.finish import finish
from sweeps.driver.weights import WinnerWeights
from sweeps.plan.checks import check_sweep
from sweeps.plan.load import load_sweep
from sweeps.plan.space import trials
from sweeps.storage.events import EVENTS, EventLog
from sweeps.storage.execution import TRIAL, Execution, Result, new_execution
from sweeps.tracking.runs import TrialRun, flat
from sweeps.tracking.store import connect, experiment_id
from sweeps.tracking.tracker import Tracker
from sweeps.validation import load_yaml
from sweeps.worker.context import Context
from tests.conftest import model_config

HEAD = "name: s\nmodel: {tiny: true}\n"


def refusal(tmp_path, text: str) -> str:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        check_sweep(load_sweep(str(tmp_path / "s.yaml")), files=False)
    return str(refused.value).replace(str(tmp_path), "DIR")


def test_an_option_with_no_value_to_try_is_refused(tmp_path) -> None:
    text = HEAD + "search: {strategy: [full, {name: lora, rank: []}]}"
    assert refusal(tmp_path, text) == (
        "DIR/s.yaml: 1 problem\n  search.strategy[1].rank is an empty list: give at least one value"
    )


def test_true_for_a_strategys_number_is_told_at_its_place(tmp_path) -> None:
    text = HEAD + "search: {strategy: [{name: lora, rank: true}]}"
    assert refusal(tmp_path, text) == (
        "DIR/s.yaml: 1 problem\n  search.strategy[0]: `rank` is true, but must not be a boolean"
    )


def test_trials_listed_twice_are_named_with_their_options(tmp_path) -> None:
    text = HEAD + ("search: {strategy: [{name: lora, rank: [4, 8]}], learning_rate: [1e-3, 0.001]}")
    assert refusal(tmp_path, text) == (
        "s: 2 problems\n"
        "  search: the trial lora rank=4 lr=1e-3 is listed twice\n"
        "  search: the trial lora rank=8 lr=1e-3 is listed twice"
    )


def test_tpe_over_a_list_is_refused(tmp_path) -> None:
    text = HEAD + (
        "search: {strategy: [full], learning_rate: [1e-3, 1e-4], algorithm: tpe, num_trials: 4}"
    )
    assert refusal(tmp_path, text) == (
        "s: 1 problem\n"
        "  search.learning_rate is [0.001, 0.0001], but must be a range {low, high}; TPE would "
        "draw the same trials again; for a list use `grid` or `random`"
    )


def test_a_block_can_be_written_once_and_merged() -> None:
    text = "align: &a {max_steps: 5, batch_size: 8}\ntrain: {<<: *a, max_steps: 7}"
    assert load_yaml(text)["train"] == {"max_steps": 7, "batch_size": 8}


def test_a_score_that_is_no_number_costs_no_other_trial_its_weights(tmp_path) -> None:
    sweep = SweepConfig.model_validate(
        {"name": "s", "model": {"tiny": True}, "search": {"strategy": ["full"]}}
    )
    execution = Execution(tmp_path)
    keeper = WinnerWeights(execution)
    scores = {"a": 1.0, "b": float("nan")}
    for (name, score), config in zip(scores.items(), trials(sweep), strict=False):
        (execution.trial(name) / "weights").mkdir(parents=True)
        keeper.keep_best(name, config, Result("finished", 1, {"select/cider": score}))
    assert [n for n in scores if (execution.trial(n) / "weights").is_dir()] == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{"filename": 5, "split": "train", "sentences": []}]},
        {"images": [{"filename": "a", "split": "train", "sentences": [{"tokens": ["a"]}]}]},
        {"images": [{"filename": "a", "split": "train", "sentences": [{"raw": 5}]}]},
        [{"image": "a.png", "conversations": [{"value": "q"}]}],
    ],
    ids=["a number as file name", "no raw caption", "a number as caption", "no speaker"],
)
def test_entries_of_another_layout_are_refused_without_a_traceback(
    content, tmp_path, capsys
) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(content))
    (tmp_path / "images").mkdir()
    data = (
        "data: {tune: {annotations: bad.json, images: images}, "
        "select: {task: coco, annotations: none.json, images: images}}"
    )
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "search: {strategy: [full]}\n" + data)
    assert main(["plan", str(path)]) == EXIT_REFUSED
    assert "bad.json has neither of the known layouts: " in capsys.readouterr().err


# --- two executions of one name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("finish")


@pytest.fixture(scope="module")
def client(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return connect(f"sqlite:///{folder / 'm.db'}")


def sweep_of(folder, name: str, seed: int, **changes) -> SweepConfig:
    return SweepConfig.model_validate(
        {
            "name": name,
            "seed": seed,
            "model": {"tiny": True},
            "search": {"strategy": ["full"], "learning_rate": [1e-3]},
            "tracking": {"uri": f"sqlite:///{folder / 'm.db'}", "storage": str(folder)},
        }
        | changes
    )


def tracked(client, sweep, execution) -> Tracker:
    params = flat(sweep.model_dump(mode="json", exclude={"name"}, exclude_none=True))
    tags = {"lnt.sweep": sweep.name}
    return Tracker(
        client, experiment_id(client, sweep.name), execution, tags=tags, params=params, datasets=[]
    )


def run_one(sweep, execution, tracker, score: float) -> None:
    (config,) = trials(sweep)
    tags = {"lnt.kind": "trial", "lnt.strategy": "full"}
    run = TrialRun(trial_id(config), "t", config, tags)
    out = execution.trial(run.trial_id)
    (out / "weights").mkdir(parents=True, exist_ok=True)
    (out / "weights" / "delta.safetensors").write_bytes(b"")
    (out / TRIAL).write_text(yaml.safe_dump(config.model_dump(mode="json")))
    log = EventLog(out / EVENTS)
    log.write(1, {"select/cider": score, "params/trainable": 1.0, "params/share": 0.1})
    log.close()
    result = Result("finished", 1, {"select/cider": score})
    execution.write_result(run.trial_id, result)
    tracker.ended(run, result)


def test_an_older_execution_that_is_resumed_ends_with_its_own_winners(
    client, folder, parts, scenes
) -> None:
    # a base of random weights: the tiny model would be trained for the registry
    changes = {"model": model_config(parts), "data": scenes}
    older, newer = (sweep_of(folder, "two", seed, **changes) for seed in (0, 1))
    in_older, in_newer = new_execution(older), new_execution(newer)
    interrupted = tracked(client, older, in_older)
    run_one(older, in_older, interrupted, 1.0)
    interrupted.close("KILLED")
    sent = tracked(client, newer, in_newer)
    run_one(newer, in_newer, sent, 2.0)
    sent.close("FINISHED")
    resumed = tracked(client, older, in_older)
    context = Context(older, in_older, folder)
    ended = finish(context, resumed, client, Console(quiet=True), interrupted=False, left_out={})
    assert [winner.trial.score for winner in ended.sweep.winners] == [1.0]


def test_an_export_before_the_sweep_has_ended_is_refused(client, folder, capsys) -> None:
    sweep = sweep_of(folder, "early", 0)
    execution = new_execution(sweep)
    sent = tracked(client, sweep, execution)
    run_one(sweep, execution, sent, 1.0)
    sent.close("KILLED")
    out = folder / "out"
    argv = ["export", "early", "-o", str(out), "--tracking-uri", sweep.tracking.uri]
    assert main(argv) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lnt: the weights of full are not in MLflow, where they go when a sweep ends; "
        "this one is KILLED: finish it with `lnt run SWEEP --resume`"
    )
    assert not out.exists()
