"""Figures of the report: valid SVG in the page's text colour."""

import re
import xml.dom.minidom

from sweeps.results.report.svg import band_figures, curve_figure, loss_figure, pareto_figures


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
