"""The table of a report: the scores and costs of each strategy's winner."""

from dataclasses import dataclass

from lnt_core.strategies import STRATEGIES
from sweeps.plan.labels import benchmark_name, benchmark_score, short_rate, short_share
from sweeps.results.comparison import Comparison
from sweeps.results.report.content import Content
from sweeps.results.selection import Trial


@dataclass(frozen=True)
class Table:
    """Cells as text; all columns but the first contain numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def results_table(content: Content) -> Table:
    """The winner of each strategy, best first, and the untuned base in the last row."""
    sweep, objective = content.sweep, content.sweep.objective
    trials = [winner.trial for winner in sweep.winners]
    edges = {winner.trial.run_id: winner.at_edge for winner in sweep.winners}
    benchmarks = sweep.tasks_reported
    unit, per_hour = _time_unit(trials, content.gpus_per_trial)
    columns = {
        "strategy": [_name(trial) for trial in trials],
        "best lr": [
            short_rate(t.learning_rate) + (" (edge)" if edges[t.run_id] else "") for t in trials
        ],
        objective.label: [objective.shown(trial.score or 0.0) for trial in trials],
        "mean ± sd (seeds)": [
            winner.seeds.shown(objective) if winner.seeds else "-" for winner in sweep.winners
        ],
        "behind the best": [
            _behind(content.compared.get(t.strategy), objective.decimals - 1) for t in trials
        ],
        "held out": [_or_dash(t.report_score, ".2f") for t in trials],
        **{
            benchmark_name(name): [benchmark_score(name, t.reported) for t in trials]
            for name in benchmarks
        },
        "trainable": [f"{trial.trainable_parameters:,}" for trial in trials],
        "share": [short_share(trial.trainable_share) for trial in trials],
        "peak GiB": [_or_dash(trial.peak_memory_gib, ".2f") for trial in trials],
        unit: [_or_dash(t.trial_h, ".2f", times=per_hour) for t in trials],
    }
    columns = {name: cells for name, cells in columns.items() if set(cells) != {"-"}}
    rows = list(zip(*columns.values(), strict=True))
    if sweep.base_score is not None:
        base = {"strategy": "untuned base", objective.label: objective.shown(sweep.base_score)}
        for name in sweep.base_reported:
            base[benchmark_name(name)] = benchmark_score(name, sweep.base_reported)
        rows.append(tuple(base.get(name, "") for name in columns))
    return Table(tuple(columns), tuple(rows))


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown."""
    rule = ("---", *("---:" for _ in table.header[1:]))
    return "\n".join(f"| {' | '.join(row)} |" for row in (table.header, rule, *table.rows))


def latex(table: Table, *, caption: str, label: str) -> str:
    """The table in LaTeX with booktabs; the best row is bold."""
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(caption)}}}",
        rf"  \label{{tab:{label}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"    \toprule",
        rf"    {_row(table.header)}",
        r"    \midrule",
    ]
    for number, row in enumerate(table.rows):
        lines.append(rf"    {_row(row, bold=number == 0)}")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}"])


def escape(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)


_LATEX = {character: rf"\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
}


def _row(cells: tuple[str, ...], *, bold: bool = False) -> str:
    escaped = [escape(cell) for cell in cells]
    return " & ".join(rf"\textbf{{{c}}}" if bold and c else c for c in escaped) + r" \\"


def _name(trial: Trial) -> str:
    method = STRATEGIES.get(trial.strategy)
    return trial.variant if method is None else f"{method.label} ({trial.variant})"


def _behind(compared: Comparison | None, places: int) -> str:
    """The confidence interval of the best winner's lead."""
    if compared is None:
        return "-"
    if compared.behind_best is None:
        return "best"
    behind = compared.behind_best
    return f"{behind.low:.{places}f} .. {behind.high:.{places}f}" + (
        " (tied)" if behind.tied else ""
    )


def _time_unit(trials: list[Trial], gpus: float) -> tuple[str, float]:
    """The unit of the time column, and how many of these units one hour of a trial is."""
    longest_h = max((trial.trial_h or 0.0 for trial in trials), default=0.0)
    unit, per_hour = ("hours", 1.0) if longest_h >= 1 else ("minutes", 60.0)
    return (f"GPU-{unit}", per_hour * gpus) if gpus else (unit, per_hour)


def _or_dash(value: float | None, form: str, *, times: float = 1.0) -> str:
    return "-" if value is None else format(value * times, form)
