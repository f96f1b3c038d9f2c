"""What `lnt best --json` prints: later keys are added, none renamed."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sweeps.results.comparison import Comparison
from sweeps.results.pareto import AXES, pareto_front
from sweeps.results.selection import Sweep


def as_json(sweep: Sweep, compared: Mapping[str, Comparison] | None = None) -> dict[str, Any]:
    """What `lnt best --json` prints."""
    compared = compared or {}
    return {
        "sweep": sweep.name,
        "metric": sweep.metric,
        "base_score": sweep.base_score,
        "winners": [
            {
                "strategy": winner.trial.strategy,
                "options": winner.trial.options,
                "learning_rate": winner.trial.learning_rate,
                "score": winner.trial.score,
                "run_id": winner.trial.run_id,
                "at_edge": bool(winner.at_edge),
                "seeds": asdict(winner.seeds) if winner.seeds else None,
                "report_score": winner.trial.report_score,
                "trainable_parameters": winner.trial.trainable_parameters,
                "trainable_share": winner.trial.trainable_share,
                **_compared(compared.get(winner.trial.strategy)),
            }
            for winner in sweep.winners
        ],
        "repeated": [
            {
                "strategy": point.trial.strategy,
                "options": point.trial.options,
                "learning_rate": point.trial.learning_rate,
                "run_id": point.trial.run_id,
                **asdict(point.seeds),
            }
            for point in sweep.repeated
            if point.seeds
        ],
        "pareto_run_ids": {
            axis.name: [trial.run_id for trial in pareto_front(sweep.trials, axis.of)]
            for axis in AXES
        },
    }


def _compared(comparison: Comparison | None) -> dict[str, Any]:
    """Which trials tie with a winner, and how far it is behind the best; null if not known."""
    if comparison is None:
        return {"tied_run_ids": None, "behind_best_ci95": None}
    behind = comparison.behind_best
    return {
        "tied_run_ids": [trial.run_id for trial in comparison.tied],
        "behind_best_ci95": None if behind is None else [behind.low, behind.high],
    }
