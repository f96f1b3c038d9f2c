"""`lnt watch`: what it prints, and its exit codes."""

from dataclasses import replace

import pytest
from mlflow.exceptions import MlflowException

from sweeps.cli import watch
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.cli.main import main
from sweeps.cli.watch import SILENCE_S, told_silence
from sweeps.results.progress import read_snapshot


def test_a_sweep_that_writes_nothing_is_said_to_be_silent(running) -> None:
    snapshot = replace(read_snapshot(running.client, running.name), silent_s=SILENCE_S + 1)
    assert told_silence(snapshot).startswith("Nothing has been written for 5:01; ")
    assert told_silence(replace(snapshot, silent_s=1.0)) == ""


@pytest.mark.parametrize(("status", "code"), [("FINISHED", 0), ("FAILED", 1), ("KILLED", 130)])
def test_it_ends_with_the_sweep(running, status, code, capsys) -> None:
    running.end(status)
    assert main(["watch", running.name, "--tracking-uri", running.uri]) == code
    printed = capsys.readouterr().out
    assert "full lr=1e-3: finished at 100/100, CIDEr 80.00" in printed
    assert "select/cider" in printed


def test_once_prints_one_snapshot_of_a_sweep_that_runs(running, capsys) -> None:
    assert main(["watch", running.name, "--once", "--tracking-uri", running.uri]) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "4 trials: 1 finished, 2 pending, 1 running" in " ".join(printed.split())
    assert "25/100" in printed


def test_a_store_that_is_away_for_a_while_is_waited_for(running, monkeypatch, capsys) -> None:
    """The store answers once, fails twice, and then reports the sweep as finished."""
    original, looks = watch.read_snapshot, []

    def read(client, name, run_id=None):
        looks.append(name)
        if len(looks) in (2, 3):
            raise MlflowException("API request failed")
        if len(looks) == 4:
            running.end("FINISHED")
        return original(client, name, run_id)

    monkeypatch.setattr(watch, "read_snapshot", read)
    given = ["watch", running.name, "--interval-s", "0.01", "--tracking-uri", running.uri]
    assert main(given) == EXIT_DONE
    printed = capsys.readouterr().out
    assert printed.count("MLflow does not answer (API request failed); retrying") == 1
    assert printed.count("MLflow answers again") == 1
