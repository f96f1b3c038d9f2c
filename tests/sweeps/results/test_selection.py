"""Winners, ties, the grid's edge; the figure and the command around them."""

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sweeps.cli.arguments import EXIT_REFUSED
from sweeps.cli.best import as_json
from sweeps.cli.main import main
from sweeps.results.plots import draw_curve
from sweeps.results.selection import Sweep, Trial, winners
from sweeps.results.summary import edge_advice


def trial(strategy="full", rate=1e-3, score=1.0, *, status="finished", trainable=10) -> Trial:
    finished = status == "finished"
    return Trial(
        run_id=f"{strategy}-{rate}",
        trial_id="t",
        strategy=strategy,
        learning_rate=rate,
        status=status,
        score=score if finished else None,
        report_score=score if finished else None,
        trainable_parameters=trainable,
        trainable_share=0.5,
    )


GRID = [trial(rate=rate, score=score) for rate, score in ((1e-2, 1.0), (1e-3, 3.0), (1e-4, 2.0))]


def test_the_best_rate_of_each_strategy_wins_the_best_first() -> None:
    found = winners([*GRID, trial("lora", 1e-3, 2.5), trial("lora", 1e-4, 4.0)])
    assert [(w.trial.strategy, w.trial.learning_rate) for w in found] == [
        ("lora", 1e-4),
        ("full", 1e-3),
    ]


def test_a_tie_goes_to_fewer_parameters_then_to_the_smaller_rate() -> None:
    tied = [
        trial(rate=1e-2, trainable=5),
        trial(rate=1e-3, trainable=9),
        trial(rate=1e-4, trainable=5),
    ]
    assert winners(tied)[0].trial == tied[2]


@pytest.mark.parametrize("status", ["failed", "diverged", "stopped", "running"])
def test_only_a_finished_trial_can_win(status) -> None:
    assert winners([trial(score=99.0, status=status)]) == []


def test_a_score_that_is_no_number_never_wins() -> None:
    assert winners([trial(score=math.nan), trial(rate=1e-4, score=0.5)])[0].trial.score == 0.5


@given(st.permutations(GRID))
def test_the_order_of_runs_does_not_matter(shuffled) -> None:
    assert winners(shuffled) == winners(GRID)


def test_a_winner_at_an_end_of_the_rates_is_said_to_be_so() -> None:
    found = winners([*GRID, trial("lora", 1e-3, 1.0), trial("lora", 1e-4, 2.0)])
    assert {w.trial.strategy: w.at_edge for w in found} == {"full": "", "lora": "lowest"}
    assert edge_advice(found) == [
        "Best at the lowest rate tried: lora. The best may lie beyond: "
        "extend search.learning_rate to smaller values."
    ]


def test_a_diverged_rate_beyond_keeps_a_winner_off_the_edge() -> None:
    found = winners([trial(rate=1e-2, status="diverged"), *GRID[1:]])
    assert found[0].at_edge == ""


def test_a_single_rate_is_no_edge() -> None:
    assert winners([trial()])[0].at_edge == ""


def test_json_has_the_keys_that_are_promised() -> None:
    sweep = Sweep("s", "r", "FINISHED", 0.5, "select/cider on x", tuple(GRID))
    printed = json.loads(json.dumps(as_json(sweep)))
    assert printed["sweep"] == "s"
    assert printed["base_score"] == 0.5
    assert {"strategy", "learning_rate", "score", "run_id", "at_edge"} <= printed["winners"][
        0
    ].keys()


def test_the_figure_is_a_picture(tmp_path) -> None:
    sweep = Sweep("s", "r", "FINISHED", 0.5, "select/cider on x", tuple(GRID))
    draw_curve(sweep, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size == (960, 600)
        assert len(image.convert("RGB").getcolors(maxcolors=2**20)) > 50


def test_help_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from sweeps.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0
    assert "plan" in done.stdout


def test_an_unknown_sweep_is_refused(tmp_path, capsys) -> None:
    uri = f"sqlite:///{tmp_path / 'm.db'}"
    assert main(["best", "nothing", "--tracking-uri", uri]) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lnt: there is no sweep 'nothing' in this tracking store, nor any other; "
        "is --tracking-uri (or MLFLOW_TRACKING_URI) the one the sweep wrote to?"
    )


def test_a_store_that_does_not_answer_is_refused(capsys) -> None:
    assert main(["best", "x", "--tracking-uri", "http://127.0.0.1:9"]) == EXIT_REFUSED
    assert capsys.readouterr().err.startswith(
        "lnt: tracking.uri is 'http://127.0.0.1:9', where no MLflow tracking store answers: "
    )


def test_an_export_does_not_write_into_a_folder_in_use(tmp_path, capsys) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    uri = f"sqlite:///{tmp_path / 'm.db'}"
    out = str(tmp_path / "out")
    assert main(["export", "x", "-o", out, "--tracking-uri", uri]) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"lnt: -o is {out!r}, which is not empty; choose another folder"
    )
