"""The end of a sweep."""

from rich.console import Console

from sweeps.driver.finish import finish
from sweeps.storage.execution import new_execution
from sweeps.worker.context import Context
from tests.conftest import model_config
from tests.sweeps.executions import end_trial, tiny_sweep, track


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
    ended = finish(context, resumed, client, Console(quiet=True), interrupted=False, left_out={})
    assert [winner.trial.score for winner in ended.sweep.winners] == [1.0]
