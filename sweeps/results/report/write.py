"""Writes a report as a self-contained HTML page, as Markdown, or as a LaTeX table."""

from collections import Counter
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from sweeps.plan.labels import counted, short_rate
from sweeps.results.report.content import Content
from sweeps.results.report.svg import band_figures, curve_figure, loss_figure, pareto_figures
from sweeps.results.report.table import latex, markdown, results_table
from sweeps.results.summary import edge_advice, ties
from sweeps.storage.execution import TrialStatus


def write_report(content: Content, form: str) -> str:
    """The text of a report.

    Args:
        content: The content of the report.
        form: ``html``, ``md`` or ``latex``.
    """
    if form == "latex":
        caption = f"{content.sweep.name}: {content.sweep.objective.title}, {content.sweep.metric}."
        return latex(results_table(content), caption=caption, label=content.sweep.name) + "\n"
    environment = jinja2.Environment(
        autoescape=form == "html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = (
        files("sweeps.results.report").joinpath(f"report.{form}.jinja").read_text(encoding="utf-8")
    )
    return environment.from_string(template).render(_values(content, form)).strip() + "\n"


def _values(content: Content, form: str) -> dict[str, Any]:
    sweep, table = content.sweep, results_table(content)
    others = Counter(trial.status for trial in sweep.trials if trial.status != TrialStatus.FINISHED)
    values: dict[str, Any] = {
        "content": content,
        "sweep": sweep,
        "lead": lead(content),
        "notes": [*ties(sweep, content.compared), *edge_advice(sweep.winners)],
        "table": table,
        "num_trials": counted(len(sweep.trials), "trial"),
        "unfinished": ", ".join(f"{count} {status}" for status, count in sorted(others.items())),
    }
    if form == "md":
        return values | {"markdown": markdown(table)}
    return values | {
        "curve": Markup(curve_figure(content)) if sweep.winners else "",
        "bands": [Markup(figure) for figure in band_figures(content)],
        "losses": Markup(loss_figure(content)) if sweep.winners else "",
        "pareto": [Markup(figure) for figure in pareto_figures(content)] if sweep.winners else [],
    }


def lead(content: Content) -> str:
    """The result of the sweep in one or two sentences."""
    sweep = content.sweep
    if not sweep.winners:
        return f"No trial has a score ({counted(len(sweep.trials), 'trial')} in total)."
    best, objective = sweep.winners[0].trial, sweep.objective
    assert best.score is not None
    told = (
        f"The best of {counted(len(sweep.trials), 'trial')} is {best.variant} at learning rate "
        f"{short_rate(best.learning_rate)}, with {objective.label} {objective.shown(best.score)}"
    )
    if sweep.base_score is not None:
        told += f"; the untuned base has {objective.shown(sweep.base_score)}"
    tied = [s for s, c in content.compared.items() if c.behind_best and c.behind_best.tied]
    if tied:
        told += f". On these images it is not significantly better than {', '.join(tied)}"
    return f"{told}."
