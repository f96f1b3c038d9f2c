"""The table of results: rows, columns, escaping for LaTeX."""

from dataclasses import replace

from sweeps.results.report.table import escape, results_table
from sweeps.results.report.write import write_report


def test_the_table_has_the_costs_and_says_what_is_tied(content) -> None:
    table = results_table(content)
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["strategy"] for row in rows] == [
        "Finetune (full)",
        "LayerNorm-simp. (layernorm_simple)",
        "untuned base",
    ]
    assert [row["behind the best"] for row in rows] == ["best", "-1.0 .. 21.0 (tied)", ""]
    assert rows[0]["best lr"] == "1e-3 (edge)"


def test_columns_that_nobody_has_are_left_out(content) -> None:
    assert "held out" in results_table(content).header
    for unknown in ("peak GiB", "GPU-hours", "GPU-minutes"):
        assert unknown not in results_table(content).header


def test_characters_of_latex_are_escaped() -> None:
    assert escape("50 % of a_dog & {x}") == r"50 \% of a\_dog \& \{x\}"


def test_a_sweep_without_a_winner_has_the_base_alone(content) -> None:
    failed = [replace(trial, status="failed", score=None) for trial in content.sweep.trials]
    sweep = replace(content.sweep, trials=tuple(failed))
    table = results_table(replace(content, sweep=sweep, compared={}))
    assert [row[0] for row in table.rows] == ["untuned base"]
    assert "untuned base" in write_report(replace(content, sweep=sweep, compared={}), "html")
