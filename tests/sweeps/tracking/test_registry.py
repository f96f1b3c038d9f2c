"""Winners in MLflow's Model Registry: each once, however often it is asked for."""

import pytest
from mlflow.exceptions import MlflowException

from sweeps.results.selection import Sweep, Trial
from sweeps.tracking.registry import Entry, entries, register
from sweeps.tracking.store import experiment_id


@pytest.fixture
def run_id(client) -> str:
    return client.create_run(experiment_id(client, "registered")).info.run_id


def trial(run_id: str, strategy: str, score: float) -> Trial:
    return Trial(run_id, run_id, strategy, 1e-3, "finished", score, None, 10, 0.1)


def sweep(name: str, *trials: Trial) -> Sweep:
    return Sweep(name, "parent", "FINISHED", None, "select/cider on scenes val", trials)


def versions(client, name: str) -> dict[str, str]:
    return {v.run_id: v.version for v in client.search_model_versions(f"name = '{name}'")}


def test_the_best_of_all_has_two_aliases_and_the_others_their_own() -> None:
    found = entries(sweep("s", trial("a", "lora", 1.0), trial("b", "full", 2.5)))
    assert [(e.run_id, e.aliases) for e in found] == [
        ("b", ("best", "best-full")),
        ("a", ("best-lora",)),
    ]
    assert found[0].tags["score"] == "2.5"
    assert found[0].tags["strategy"] == "full"


def test_registered_twice_it_is_one_version(client, run_id) -> None:
    (entry,) = entries(sweep("twice", trial(run_id, "lora", 1.0)))
    for _ in range(2):
        register(client, entry)
    assert versions(client, "twice") == {run_id: 1}
    found = client.get_model_version_by_alias("twice", "best")
    assert found.run_id == run_id
    assert found.source.endswith(f"{run_id}/artifacts/weights")
    assert found.tags["run_id"] == run_id


def test_cut_off_between_version_and_alias_it_goes_on(client, run_id, monkeypatch) -> None:
    (entry,) = entries(sweep("cut", trial(run_id, "lora", 1.0)))
    with monkeypatch.context() as patch:
        patch.setattr(client, "set_registered_model_alias", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            register(client, entry)
    register(client, entry)
    assert versions(client, "cut") == {run_id: 1}
    assert client.get_model_version_by_alias("cut", "best-lora").run_id == run_id


def test_a_better_trial_takes_the_alias_and_the_old_version_stays(client, run_id) -> None:
    later = client.create_run(experiment_id(client, "registered")).info.run_id
    for score, of in ((1.0, run_id), (2.0, later)):
        for entry in entries(sweep("moved", trial(of, "lora", score))):
            register(client, entry)
    assert set(versions(client, "moved")) == {run_id, later}
    assert client.get_model_version_by_alias("moved", "best").run_id == later


def test_a_registry_that_refuses_does_not_hold_up_the_sweep(client, run_id, caplog) -> None:
    entry = Entry("no/such:name", run_id, ("best",), {}, "")
    register(client, entry)
    assert "refuses no/such:name" in caplog.text


def test_an_outage_is_left_to_the_outbox_which_tries_again(client, run_id) -> None:
    (entry,) = entries(sweep("away", trial(run_id, "lora", 1.0)))

    class Away:
        def create_registered_model(self, *_, **__):
            raise MlflowException("API request failed", error_code="INTERNAL_ERROR")

    with pytest.raises(MlflowException):
        register(Away(), entry)
