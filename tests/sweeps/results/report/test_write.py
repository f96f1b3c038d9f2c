"""The forms of a report: nothing from elsewhere, nothing unescaped, the same every time."""

import re

import pytest

from sweeps.results.report.write import lead, write_report
from tests.sweeps.results.report.conftest import HOSTILE


@pytest.fixture(scope="module")
def page(content) -> str:
    return write_report(content, "html")


def test_the_page_asks_nothing_of_a_network(page) -> None:
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links), links
    assert "<script" not in page.lower().replace("&lt;script", "")


def test_what_a_model_writes_cannot_change_the_page(page) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; 50 % of a_dog" in page
    assert "ValueError: &lt;b&gt;" in page


def test_the_page_is_the_same_every_time(content, page) -> None:
    assert write_report(content, "html") == page


def test_the_lead_is_honest_about_ties(content) -> None:
    assert lead(content) == (
        "The best of 4 trials is full at learning rate 1e-3, with CIDEr 120.00; the untuned base "
        "has 50.00. On these images it is not significantly better than layernorm_simple."
    )


def test_markdown_has_the_table_and_the_file(content) -> None:
    text = write_report(content, "md")
    assert "| Finetune (full) | 1e-3 (edge) | 120.00 | best |" in text
    assert "- lora lr=1e-3: failed, ValueError: <b>" in text
    assert "```yaml\nname: s\n```" in text


def test_latex_marks_the_best_and_has_rows_of_one_length(content) -> None:
    text = write_report(content, "latex")
    assert r"\textbf{Finetune (full)}" in text
    assert r"LayerNorm-simp. (layernorm\_simple)" in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert {line.count("&") for line in body.splitlines()[1:-1]} == {
        body.splitlines()[1].count("&")
    }
