"""Which trials the images cannot tell from the winners: read from each trial's captions."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sweeps.confidence import Difference, paired_difference
from sweeps.selection import Sweep, Trial, rank

if TYPE_CHECKING:
    from mlflow import MlflowClient

CAPTIONS = "captions_select.jsonl"
"""Of each trial: a row an image, with its score."""
ImageScores = Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A strategy's winner against its other trials, and against the best winner of all."""

    tied: tuple[Trial, ...]
    """Other trials of its strategy that the images cannot tell from it, the best first."""
    behind_best: Difference | None
    """How much better the best winner of all is; None for that one itself."""


def compare_winners(
    sweep: Sweep, scores_of: Callable[[Trial], ImageScores | None]
) -> dict[str, Comparison]:
    """By strategy; one whose captions are not in the store is left out.

    Args:
        sweep: Of :func:`sweeps.selection.read_sweep`.
        scores_of: The score of each image of a trial; None if nobody has them.
    """
    found: dict[str, Comparison] = {}
    best = sweep.winners[0].trial if sweep.winners else None
    best_scores = scores_of(best) if best else None
    for winner in sweep.winners:
        ours = scores_of(winner.trial)
        if ours is None or best_scores is None:
            continue
        behind = None if winner.trial is best else paired_difference(best_scores, ours)
        tied = tuple(_tied(winner.trial, ours, sweep, scores_of))
        found[winner.trial.strategy] = Comparison(tied, behind)
    return found


def _tied(
    winner: Trial,
    ours: ImageScores,
    sweep: Sweep,
    scores_of: Callable[[Trial], ImageScores | None],
) -> Iterator[Trial]:
    """From the next best on, until one is told apart: so few captions are fetched."""
    others = [
        t
        for t in sweep.trials
        if t.strategy == winner.strategy and t is not winner and t.score is not None
        if not t.is_repeat
    ]
    for trial in sorted(others, key=rank):
        theirs = scores_of(trial)
        if theirs is None or not paired_difference(ours, theirs).tied:
            return
        yield trial


def stored_scores(client: "MlflowClient") -> Callable[[Trial], ImageScores | None]:
    """The scores of each image, from a trial's captions in MLflow; fetched once."""
    from mlflow.exceptions import MlflowException

    known: dict[str, ImageScores | None] = {}

    def scores_of(trial: Trial) -> ImageScores | None:
        if trial.run_id not in known:
            with TemporaryDirectory() as folder:
                try:
                    path = client.download_artifacts(trial.run_id, CAPTIONS, folder)
                    known[trial.run_id] = read_scores(Path(path))
                except (MlflowException, OSError):  # an older sweep, or artifacts were cleared
                    known[trial.run_id] = None
        return known[trial.run_id]

    return scores_of


def read_scores(path: Path) -> ImageScores:
    """Image to CIDEr x 100, of a file of captions."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["image"]: row["cider"] for row in rows}
