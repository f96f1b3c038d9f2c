"""What a sweep must not name when it runs elsewhere."""

import yaml

from sweeps.cli.arguments import EXIT_REFUSED
from sweeps.cli.main import main

DASHBOARD = "http://127.0.0.1:9"  # the port of discard: nobody answers
SWEEP = {
    "name": "s",
    "model": {"tiny": True},
    "search": {"strategy": ["full"]},
    "tracking": {"uri": "http://mlflow:5000", "storage": "/shared/runs"},
}


def refused(tmp_path, capsys, changes: dict, *options: str) -> list[str]:
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(SWEEP | changes))
    argv = ["submit", str(tmp_path / "s.yaml"), "--address", DASHBOARD, *options]
    assert main(argv) == EXIT_REFUSED
    return capsys.readouterr().err.splitlines()


def test_nobody_at_the_address(tmp_path, capsys) -> None:
    (line,) = refused(tmp_path, capsys, {})
    assert line.startswith(f"lnt: no Ray dashboard answers at {DASHBOARD} (")
    assert line.endswith("where `ray start --head` says, usually http://HEAD:8265")


def test_without_an_address(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert main(["jobs"]) == EXIT_REFUSED
    assert capsys.readouterr().err == (
        "lnt: which cluster? Give --address http://HEAD:8265, or set RAY_API_SERVER_ADDRESS\n"
    )


def test_a_variable_that_is_not_set(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    (line,) = refused(tmp_path, capsys, {}, "--env", "NOT_THERE")
    assert line == "lnt: --env NOT_THERE: no variable of that name is set here"


def test_paths_of_this_machine_are_refused_all_at_once(tmp_path, capsys) -> None:
    changes = {
        "model": {"tiny": {"text": "english.txt"}},
        "data": {
            "tune": {"annotations": "a.json", "images": "/shared/images"},
            "select": {"task": "coco", "annotations": "/shared/b.json", "images": "images"},
        },
        "tracking": {},
    }
    head, *lines = refused(tmp_path, capsys, changes)
    assert head.endswith("5 problems")
    relative = "relative to your file; a job sees the cluster's files: give the absolute path that"
    assert [line.split(", ")[0] for line in lines] == [
        "  data.select.images is 'images'",
        "  data.tune.annotations is 'a.json'",
        "  model.tiny.text is 'english.txt'",
        "  tracking.uri is 'sqlite:///mlflow.db'",
        "  tracking.storage is 'lnt_runs'",
    ]
    assert all(relative in line for line in lines[:3])
