"""The forms of a report: nothing from elsewhere, nothing unescaped, the same every time."""

import re
import xml.dom.minidom

from sweeps.results.report.svg import band_figures, curve_figure, loss_figure, pareto_figures
from sweeps.results.report.table import escape, results_table
from sweeps.results.report.write import lead, write_report
from tests.sweeps.report.conftest import HOSTILE


def test_the_page_asks_nothing_of_a_network(content) -> None:
    page = write_report(content, "html")
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links), links
    assert "<script" not in page.lower().replace("&lt;script", "")


def test_what_a_model_writes_cannot_change_the_page(content) -> None:
    page = write_report(content, "html")
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; 50 % of a_dog" in page
    assert "ValueError: &lt;b&gt;" in page


def test_the_page_is_the_same_every_time(content) -> None:
    assert write_report(content, "html") == write_report(content, "html")


def test_figures_are_whole_and_take_the_pages_colour(content) -> None:
    figures = [curve_figure(content), loss_figure(content)]
    figures += [*band_figures(content), *pareto_figures(content)]
    ids: list[str] = []
    for figure in figures:
        assert xml.dom.minidom.parseString(figure).documentElement.tagName == "svg"
        assert "currentColor" in figure
        assert "viewBox" in figure.split(">", 1)[0]
        ids += {i for i in re.findall(r' id="([^"]+)"', figure) if re.match(r"[pm][0-9a-f]{10}", i)}
    assert len(ids) == len(set(ids)), "two figures of a page share an id"


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


def test_the_lead_is_honest_about_ties(content) -> None:
    assert lead(content) == (
        "The best of 4 trials is full at learning rate 1e-3: CIDEr 120.00, where the untuned base "
        "has 50.00. These images cannot tell it from layernorm_simple."
    )


def test_markdown_has_the_table_and_the_file(content) -> None:
    text = write_report(content, "md")
    assert "| Finetune (full) | 1e-3 (edge) | 120.00 | best |" in text
    assert "- lora lr=1e-3: failed, ValueError: <b>" in text
    assert "```yaml\nname: s\n```" in text


def test_latex_escapes_and_marks_the_best(content) -> None:
    text = write_report(content, "latex")
    assert r"\textbf{Finetune (full)}" in text
    assert r"LayerNorm-simp. (layernorm\_simple)" in text
    assert escape("50 % of a_dog & {x}") == r"50 \% of a\_dog \& \{x\}"
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert {line.count("&") for line in body.splitlines()[1:-1]} == {
        body.splitlines()[1].count("&")
    }
