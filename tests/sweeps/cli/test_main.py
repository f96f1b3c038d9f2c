"""The `lnt` command: one object to stdout, messages to stderr, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lnt_core import __version__
from sweeps.cli.main import EXIT_DONE, EXIT_REFUSED, main
from sweeps.config import PAPER_RATES
from sweeps.tracking.store import connect, experiment_id

LNT = str(Path(sys.executable).parent / "lnt")


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> str:
    """A store that knows two sweeps."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('store') / 'm.db'}"
    client = connect(uri)
    for name in ("demo", "flickr8k"):
        client.create_run(experiment_id(client, name), tags={"lnt.kind": "sweep"})
    return uri


def plan(capsys, *argv: str) -> list[dict]:
    assert main(["plan", "demo", "--no-files", "--json", *argv]) == EXIT_DONE
    return json.loads(capsys.readouterr().out)["trials"]


def test_the_installed_command_prints_one_json_object_and_nothing_else(tmp_path) -> None:
    argv = [LNT, "plan", "demo", "--no-files", "--json", "--set", "search.strategy=[full]"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == EXIT_DONE
    assert json.loads(done.stdout)["sweep"] == "demo"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_the_packages(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == EXIT_DONE
    assert capsys.readouterr().out == f"lnt {__version__}\n"


def test_a_plan_lists_every_strategy_at_every_rate_in_the_files_order(capsys) -> None:
    found = plan(capsys, "--set", "search.strategy=[layernorm_simple, full]")
    assert [(t["strategy"], t["learning_rate"]) for t in found] == [
        (strategy, rate) for strategy in ("layernorm_simple", "full") for rate in PAPER_RATES
    ]


def test_one_value_set_anew_gives_trials_of_another_name(capsys) -> None:
    one = ("--set", "search.strategy=[layernorm]", "--set", "search.learning_rate=[3e-4]")
    (before,) = plan(capsys, *one)
    (after,) = plan(capsys, *one, "--set", "train.weight_decay=1e-2")
    assert before["id"] != after["id"]
    assert before["trainable_parameters"] == after["trainable_parameters"]


def test_a_planned_tpe_names_no_trial_that_is_yet_to_be_drawn(capsys) -> None:
    found = plan(
        capsys,
        *("--set", "search.algorithm=tpe", "--set", "search.num_trials=9"),
        *("--set", "search.learning_rate={low: 1e-5, high: 1e-2}"),
    )
    assert {(trial["id"], trial["learning_rate"]) for trial in found} == {("", None)}
    assert len(found) == 6


def test_a_plan_for_people_counts_the_trials(capsys) -> None:
    assert main(["plan", "demo", "--no-files"]) == EXIT_DONE
    assert "66 trials of 6 strategies." in capsys.readouterr().out


def test_an_unknown_sweep_names_the_nearest_known(uri, capsys) -> None:
    assert main(["best", "flickr", "--tracking-uri", uri]) == EXIT_REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    names = ("'demo', 'flickr8k'", "'flickr8k', 'demo'")  # MLflow's order is by their last change
    assert err.splitlines()[-1] in [
        f"lnt: NAME is 'flickr', but must be one of {known}; did you mean 'flickr8k'?"
        for known in names
    ]


def test_the_store_is_taken_from_the_environment_too(uri, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["best", "demo", "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out) == {
        "sweep": "demo",
        "metric": "select/cider",
        "base_score": None,
        "winners": [],
        "repeated": [],
        "pareto_run_ids": {"trainable_parameters": [], "peak_memory_gib": [], "trial_h": []},
    }


def test_a_sweep_without_a_finished_trial_has_nothing_to_export(uri, tmp_path, capsys) -> None:
    out = str(tmp_path / "out")
    assert main(["export", "demo", "-o", out, "--tracking-uri", uri]) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lnt: the sweep 'demo' has no finished trial to export"
    )
    assert not (tmp_path / "out").exists()


def test_training_from_a_file_that_is_not_there_says_what_writes_one(tmp_path, capsys) -> None:
    missing = str(tmp_path / "best.yaml")
    assert main(["train", missing]) == EXIT_REFUSED
    assert capsys.readouterr().err == (
        f"lnt: there is no file {missing}; `lnt export NAME -o DIR` writes one\n"
    )


@pytest.mark.parametrize("argv", [[], ["rnu", "demo"], ["plan"]])
def test_a_command_line_that_makes_no_sense_is_refused_with_2(argv, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == EXIT_REFUSED
    assert capsys.readouterr().out == ""
