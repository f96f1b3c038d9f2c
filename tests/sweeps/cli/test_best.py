"""`lnt best`: the table, the JSON, and messages about unknown sweeps and stores."""

import io
import json
from dataclasses import replace

from rich.console import Console

from sweeps.cli.best import as_json, print_winners
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_REFUSED
from sweeps.cli.main import main
from sweeps.results.comparison import Comparison
from sweeps.results.confidence import Difference
from sweeps.results.selection import Sweep
from tests.sweeps.results.trials import GRID, LUCKY, seeds, trial

BEST, CLOSE = trial("full", 1e-2, 90.0), trial("full", 1e-3, 89.9)
EQUAL, BEHIND = trial("lora", 1e-3, 89.8), trial("layernorm", 1e-3, 50.0)
COMPARED = {
    "full": Comparison((CLOSE,), None),
    "lora": Comparison((), Difference(0.2, -1.0, 1.4)),
    "layernorm": Comparison((), Difference(40.0, 37.0, 43.0)),
}


def sweep_of(*trials) -> Sweep:
    return Sweep("s", "r", "FINISHED", 0.5, "select/cider on x val", trials)


def printed(sweep: Sweep, compared=None) -> str:
    """The printed table with runs of whitespace collapsed."""
    text = io.StringIO()
    print_winners(Console(file=text, width=120), sweep, compared)
    return " ".join(text.getvalue().split())


def told(sweep: Sweep, compared=None) -> dict:
    return json.loads(json.dumps(as_json(sweep, compared)))


def test_json_has_the_keys_that_are_promised() -> None:
    content = told(sweep_of(*GRID))
    assert (content["sweep"], content["metric"], content["base_score"]) == (
        *("s", "select/cider on x val", 0.5),
    )
    (winner,) = content["winners"]
    assert {"strategy", "learning_rate", "score", "run_id", "at_edge"} <= winner.keys()


def test_repeats_are_shown_only_where_there_are_any() -> None:
    assert "7.00 ± 1.00 (3)" in printed(sweep_of(*LUCKY))
    assert "over seeds (number of seeds), full: 1e-4: 7.00 ± 1.00 (3); 1e-3: 5.00" in printed(
        sweep_of(*LUCKY)
    )
    assert "±" not in printed(sweep_of(*seeds(1e-3, 1.0)))


def test_json_has_the_repeats() -> None:
    content = told(sweep_of(*LUCKY))
    assert content["winners"][0]["seeds"] == {"n": 3, "mean": 7.0, "sd": 1.0}
    assert [(p["learning_rate"], p["n"]) for p in content["repeated"]] == [(1e-4, 3), (1e-3, 3)]


def test_ties_are_printed() -> None:
    text = printed(sweep_of(BEST, CLOSE, EQUAL, BEHIND), COMPARED)
    assert "Tied with full (95 % interval of its lead, paired bootstrap over images): " in text
    assert "images): lora (-1.0 .. +1.4)." in text
    assert "Tied with the winner of their strategy: full 1e-3." in text


def test_json_has_the_ties_and_null_where_nothing_was_compared() -> None:
    sweep = sweep_of(BEST, CLOSE, EQUAL, BEHIND)
    winners = {winner["strategy"]: winner for winner in told(sweep, COMPARED)["winners"]}
    assert winners["full"]["tied_run_ids"] == [CLOSE.run_id]
    assert winners["layernorm"]["behind_best_ci95"] == [37.0, 43.0]
    first = told(sweep)["winners"][0]
    assert (first["tied_run_ids"], first["behind_best_ci95"]) == (None, None)


def test_json_has_the_pareto_front_of_every_cost() -> None:
    points = (("full", 9.0, 900, 2.0), ("lora", 9.5, 90, 3.0), ("norm", 2.0, 9, 1.0))
    trials = [
        replace(trial(name, score=s, trainable=n), run_id=name, peak_memory_gib=m, trial_h=1.0)
        for name, s, n, m in points
    ]
    assert told(sweep_of(*trials))["pareto_run_ids"] == {
        "trainable_parameters": ["norm", "lora"],
        "peak_memory_gib": ["norm", "full", "lora"],
        "trial_h": ["lora"],
    }


def test_an_unknown_sweep_names_the_nearest_known(uri, capsys) -> None:
    assert main(["best", "flickr", "--tracking-uri", uri]) == EXIT_REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    names = ("'demo', 'flickr8k'", "'flickr8k', 'demo'")  # MLflow's order is by their last change
    assert err.splitlines()[-1] in [
        f"lnt: NAME is 'flickr', but must be one of {known}; did you mean 'flickr8k'?"
        for known in names
    ]


def test_a_store_without_sweeps_says_so(new_store, tmp_path, capsys) -> None:
    assert main(["best", "nothing", "--tracking-uri", new_store(tmp_path)]) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lnt: there is no sweep 'nothing', because the tracking store contains no sweeps; check "
        "--tracking-uri or MLFLOW_TRACKING_URI"
    )


def test_a_store_that_does_not_answer_is_refused(capsys) -> None:
    assert main(["best", "x", "--tracking-uri", "http://127.0.0.1:9"]) == EXIT_REFUSED
    assert capsys.readouterr().err.startswith(
        "lnt: tracking.uri is 'http://127.0.0.1:9', where no MLflow tracking store answers: "
    )


def test_the_store_is_taken_from_the_environment_too(uri, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["best", "demo", "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out) == {
        "sweep": "demo",
        "metric": "select/cider",
        "base_score": None,
        "base_reported": {},
        "winners": [],
        "repeated": [],
        "pareto_run_ids": {"trainable_parameters": [], "peak_memory_gib": [], "trial_h": []},
    }


def test_benchmarks_have_a_table_that_fits_a_narrow_terminal() -> None:
    names = ["vqav2/vqa_accuracy", "pope/f1", "mme/mme", "exact_match/exact_match", "loss/loss"]
    scores = {name: 12.5 + number for number, name in enumerate(names)}
    winner = replace(GRID[0], score=99.0, reported=scores)
    sweep = replace(sweep_of(winner, *GRID[1:]), base_reported={"pope/f1": 50.0})
    text = io.StringIO()
    print_winners(Console(file=text, width=80), sweep)
    lines = text.getvalue().splitlines()
    rows = [[cell.strip() for cell in line.split("\u2502")[1:-1]] for line in lines]
    assert ["full", "15.50", "16.5000", "14.50", "13.50", "12.50"] in rows
    assert ["untuned base", "-", "-", "-", "50.00", "-"] in rows
    assert told(sweep)["winners"][0]["reported"] == scores
    assert told(sweep)["base_reported"] == {"pope/f1": 50.0}
    assert "data.report" not in printed(sweep_of(*GRID))
