"""Reading a sweep from its MLflow runs."""

from sweeps.results.read import read_sweep
from sweeps.storage.execution import new_execution
from tests.sweeps.executions import end_trial, tiny_sweep, track


def test_a_sweep_is_read_back_from_the_store_alone(
    client, store_uri, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)  # artifacts of an sqlite store go below the working folder
    sweep = tiny_sweep(tmp_path, store_uri)
    execution = new_execution(sweep)
    sent = track(client, sweep, execution)
    run = end_trial(sweep, execution, sent, 12.5)
    sent.parent_metrics({"base/select/cider": 3.25})
    sent.close("FINISHED")
    found = read_sweep(client, sweep.name)
    assert (found.status, found.base_score) == ("FINISHED", 3.25)
    (trial,) = found.trials
    assert (trial.trial_id, trial.strategy, trial.learning_rate) == (run.trial_id, "full", 1e-3)
    assert (trial.score, trial.trainable_parameters, trial.trainable_share) == (12.5, 7, 0.5)
