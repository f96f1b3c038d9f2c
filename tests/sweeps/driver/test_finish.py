"""The end of a sweep."""

import pytest
from rich.console import Console

from lnt_core.errors import LntError
from sweeps.driver.finish import finish
from sweeps.storage.execution import new_execution
from sweeps.worker.context import Context
from tests.parts import model_config
from tests.sweeps.executions import end_trial, tiny_sweep, track

pytestmark = pytest.mark.heavy


def test_an_older_execution_that_is_resumed_ends_with_its_own_winners(
    client, store_uri, parts, scenes, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)  # artifacts of an sqlite store go below the working folder
    # a base of random weights: the tiny model would be trained for the registry
    data = {"model": model_config(parts), "data": scenes}
    older = tiny_sweep(tmp_path, store_uri, **data)
    newer = older.model_copy(update={"seed": 1})
    in_older, in_newer = new_execution(older), new_execution(newer)
    interrupted = track(client, older, in_older)
    end_trial(older, in_older, interrupted, 1.0)
    interrupted.close("KILLED")
    sent = track(client, newer, in_newer)
    end_trial(newer, in_newer, sent, 2.0)
    sent.close("FINISHED")
    resumed = track(client, older, in_older)
    context = Context(older, in_older, tmp_path)
    ended = finish(context, resumed, client, Console(quiet=True), left_out={})
    assert [winner.trial.score for winner in ended.sweep.winners] == [1.0]


@pytest.mark.parametrize(("register", "num_versions"), [("winners", 1), ("none", 0)])
def test_winners_are_registered_only_where_asked_for_and_logged_always(
    register, num_versions, client, store_uri, parts, scenes, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracking = {"uri": store_uri, "storage": str(tmp_path), "register": register}
    data = {"model": model_config(parts), "data": scenes, "tracking": tracking}
    sweep = tiny_sweep(tmp_path, store_uri, **data)
    execution = new_execution(sweep)
    tracker = track(client, sweep, execution)
    run = end_trial(sweep, execution, tracker, 1.0)
    context = Context(sweep, execution, tmp_path)
    ended = finish(context, tracker, client, Console(quiet=True), left_out={})
    (winner,) = ended.sweep.winners
    assert winner.trial.trial_id == run.trial_id
    assert len(client.search_model_versions(f"name = '{sweep.name}'")) == num_versions
    logged = [file.path for file in client.list_artifacts(winner.trial.run_id, "weights")]
    assert "weights/delta.safetensors" in logged


def test_what_mlflow_refuses_is_told_once_and_the_sweep_ends(
    client, store_uri, parts, scenes, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracking = {"uri": store_uri, "storage": str(tmp_path), "register": "none"}
    data = {"model": model_config(parts), "data": scenes, "tracking": tracking}
    sweep = tiny_sweep(tmp_path, store_uri, **data)
    execution = new_execution(sweep)
    tracker = track(client, sweep, execution)
    end_trial(sweep, execution, tracker, 1.0)
    for _ in range(2):
        tracker.parent_metrics({"no name?": 1.0})
    ended = finish(
        Context(sweep, execution, tmp_path), tracker, client, Console(quiet=True), left_out={}
    )
    (reason,) = ended.not_logged
    assert "no name?" in reason
    assert client.get_run(ended.sweep.run_id).info.status == "FINISHED"


def test_a_sweep_that_mlflow_has_lost_is_told_in_a_sentence(
    client, store_uri, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = tiny_sweep(tmp_path, store_uri)
    execution = new_execution(sweep)
    tracker = track(client, sweep, execution)
    lost = sweep.model_copy(update={"name": "lost"})
    with pytest.raises(LntError) as told:
        finish(
            Context(lost, execution, tmp_path), tracker, client, Console(quiet=True), left_out={}
        )
    tracker.close("KILLED")
    assert str(told.value).startswith(f"{store_uri} no longer has the runs of this sweep (NAME ")
    assert str(told.value).endswith(
        f"what was trained is kept in {execution.path}, and --resume says how to log it anew"
    )
