"""Messages of the job commands when no Ray cluster can be reached."""

import yaml

from sweeps.cli.exit_codes import EXIT_REFUSED
from sweeps.cli.main import main

DASHBOARD = "http://127.0.0.1:9"  # the port of discard: nobody answers
SWEEP = {
    "name": "s",
    "model": {"tiny": True},
    "search": {"strategy": ["full"]},
    "tracking": {"uri": "http://mlflow:5000", "storage": "/shared/runs"},
}


def refused(tmp_path, capsys, *options: str) -> str:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(SWEEP))
    argv = ["submit", str(tmp_path / "s.yaml"), "--address", DASHBOARD, *options]
    assert main(argv) == EXIT_REFUSED
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_nobody_at_the_address(tmp_path, capsys) -> None:
    line = refused(tmp_path, capsys)
    assert line.startswith(f"lnt: no Ray dashboard answers at {DASHBOARD} (")
    assert line.endswith("is printed by `ray start --head`, usually http://HEAD:8265")


def test_without_an_address(capsys, monkeypatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert main(["jobs"]) == EXIT_REFUSED
    assert capsys.readouterr().err == (
        "lnt: no cluster is given: use --address http://HEAD:8265, or set RAY_API_SERVER_ADDRESS\n"
    )


def test_a_variable_that_is_not_set(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    line = refused(tmp_path, capsys, "--env", "NOT_THERE")
    assert line == "lnt: --env NOT_THERE: no such environment variable is set"


def test_a_variable_with_a_password_in_its_uri_does_not_travel(
    tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@mlflow:5000")
    line = refused(tmp_path, capsys, "--env", "MLFLOW_TRACKING_URI")
    assert line == (
        "lnt: --env MLFLOW_TRACKING_URI: 'http://me:***@mlflow:5000' contains a password, which "
        "everyone who can open the Ray dashboard could read; remove it and set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or write them to "
        "~/.mlflow/credentials"
    )
