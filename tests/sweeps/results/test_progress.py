"""How far a sweep is, from its runs in MLflow; and `lnt watch` around it."""

import shutil
import time
from copy import copy
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from sweeps import cli_watch
from sweeps.cli.main import main
from sweeps.cli.watch import SILENCE_S, told_silence
from sweeps.results.progress import clock, read_snapshot
from sweeps.results.selection import METRIC


class Store:
    """A sweep of four trials: one finished in 10 s, one at a quarter, two that have not begun."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.client = MlflowClient(tracking_uri=uri)
        self.experiment = self.client.create_experiment("s")
        tags = {"lnt.kind": "sweep", "lnt.num_trials": "4"}
        self.parent = self.client.create_run(self.experiment, tags=tags).info.run_id
        finished = self.trial("full lr=1e-3", "finished", step=100, rate="0.001")
        times = [Metric(f"time/{p}_s", s, 0, 100) for p, s in (("prepare", 1), ("train", 8))]
        times += [Metric("time/evaluate_s", 1.0, 0, 100), Metric(METRIC, 80.0, 0, 100)]
        self.client.log_batch(finished, metrics=times)
        self.running = self.trial("full lr=1e-4", "running", step=25, rate="0.0001")

    def trial(self, name: str, status: str, *, step: int, rate: str) -> str:
        tags = {"lnt.kind": "trial", "mlflow.parentRunId": self.parent, "lnt.status": status}
        tags |= {"lnt.trial_id": name[-4:], "lnt.strategy": "full", "lnt.num_steps": "100"}
        run = self.client.create_run(self.experiment, run_name=name, tags=tags).info.run_id
        loss = Metric("train/loss", 0.5, int(time.time() * 1000), step)
        self.client.log_batch(run, metrics=[loss], params=[Param("learning_rate", rate)])
        return run

    def end(self, status: str) -> None:
        self.client.set_terminated(self.parent, status)


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Store:
    """Made once: the tables of a new store take seconds."""
    return Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/m.db")


@pytest.fixture
def store(filled, tmp_path) -> Store:
    """A copy, to be changed."""
    path = tmp_path / "m.db"
    shutil.copy(filled.uri.removeprefix("sqlite:///"), path)
    own = copy(filled)
    own.uri = f"sqlite:///{path}"
    own.client = MlflowClient(tracking_uri=own.uri)
    return own


def test_a_snapshot_counts_what_runs_and_what_is_to_come(store) -> None:
    snapshot = read_snapshot(store.client, "s")
    assert snapshot.counts == {"finished": 1, "running": 1, "pending": 2}
    (running,) = snapshot.running
    assert (running.name, running.progress, running.loss) == ("full lr=1e-4", "25/100", 0.5)
    assert [winner.trial.score for winner in snapshot.sweep.winners] == [80.0]


def test_what_is_left_follows_the_trials_that_finished(store) -> None:
    """Two whole trials and three quarters of one, of 10 s each, one at a time."""
    assert read_snapshot(store.client, "s").left_s == pytest.approx(27.5)


def test_nothing_is_promised_before_a_trial_has_finished(store) -> None:
    snapshot = read_snapshot(store.client, "s")
    only = {store.running: snapshot.trials[store.running]}
    assert replace(snapshot, trials=only).left_s is None


def test_a_sweep_that_writes_nothing_is_said_to_be_silent(store) -> None:
    snapshot = replace(read_snapshot(store.client, "s"), silent_s=SILENCE_S + 1)
    assert told_silence(snapshot).startswith("Nothing was written for 5:01: ")
    assert told_silence(replace(snapshot, silent_s=1.0)) == ""


@pytest.mark.parametrize(("seconds", "told"), [(0, "0:00"), (59.9, "0:59"), (3600, "1:00:00")])
def test_times_are_short(seconds, told) -> None:
    assert clock(seconds) == told


@pytest.mark.parametrize(("status", "code"), [("FINISHED", 0), ("FAILED", 1), ("KILLED", 130)])
def test_watch_ends_with_the_sweep(store, status, code, capsys) -> None:
    store.end(status)
    assert main(["watch", "s", "--tracking-uri", store.uri]) == code
    printed = capsys.readouterr().out
    assert "full lr=1e-3: finished at 100/100, CIDEr 80.00" in printed
    assert "select/cider" in printed


def test_once_prints_one_snapshot_of_a_sweep_that_runs(store, capsys) -> None:
    assert main(["watch", "s", "--once", "--tracking-uri", store.uri]) == 0
    printed = capsys.readouterr().out
    assert "4 trials: 1 finished, 2 pending, 1 running" in " ".join(printed.split())
    assert "25/100" in printed


def test_a_store_that_is_away_for_a_while_is_waited_for(store, monkeypatch, capsys) -> None:
    """It answers for the first look, fails twice, and has the sweep finished then."""
    from sweeps import progress

    original, looks = progress.read_snapshot, []

    def read(client, name, run_id=None):
        looks.append(name)
        if len(looks) in (2, 3):
            raise MlflowException("API request failed")
        if len(looks) == 4:
            store.end("FINISHED")
        return original(client, name, run_id)

    monkeypatch.setattr(progress, "read_snapshot", read)
    arguments = ["watch", "s", "--interval-s", "0.01", "--tracking-uri", store.uri]
    assert main(arguments) == cli_watch.EXITS["FINISHED"]
    printed = capsys.readouterr().out
    assert printed.count("MLflow does not answer (API request failed); asking again") == 1
    assert printed.count("MLflow answers again") == 1
