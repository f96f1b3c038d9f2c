"""Trials whose scores do not differ significantly from those of the winners."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sweeps.results.captions import CaptionsOf
from sweeps.results.confidence import Difference, paired_difference
from sweeps.results.selection import Sweep, Trial, rank

ImageScores = Mapping[str, float]


@dataclass(frozen=True)
class Comparison:
    """A winner compared with the other trials of its strategy, and with the best winner of all."""

    tied: tuple[Trial, ...]
    """Other trials of its strategy that do not differ significantly from it, best first."""
    behind_best: Difference | None
    """How much better the best winner of all scores; None for that winner itself."""


def compare_winners(sweep: Sweep, captions_of: CaptionsOf) -> dict[str, Comparison]:
    """Compare winners by a paired bootstrap over the questions; of captions, over the images.

    Args:
        sweep: The sweep.
        captions_of: The captions of its trials, with the score of each image.

    Returns:
        The comparison of each strategy's winner, without strategies whose captions are missing.
    """
    found: dict[str, Comparison] = {}
    best = sweep.winners[0].trial if sweep.winners else None
    best_scores = merits(captions_of, best) if best else None
    for winner in sweep.winners:
        ours = merits(captions_of, winner.trial)
        if ours is None or best_scores is None:
            continue
        behind = None if winner.trial is best else paired_difference(best_scores, ours)
        tied = tuple(_tied(winner.trial, ours, sweep, captions_of))
        found[winner.trial.strategy] = Comparison(tied, behind)
    return found


def _tied(
    winner: Trial,
    ours: ImageScores,
    sweep: Sweep,
    captions_of: CaptionsOf,
) -> Iterator[Trial]:
    """In order of score, up to the first significant difference, to download few captions."""
    others = [
        t
        for t in sweep.trials
        if t.strategy == winner.strategy and t is not winner and t.score is not None
        if not t.is_repeat
    ]
    for trial in sorted(others, key=rank):
        theirs = merits(captions_of, trial)
        if theirs is None or not paired_difference(ours, theirs).tied:
            return
        yield trial


def image_scores(captions_of: CaptionsOf, trial: Trial) -> ImageScores | None:
    """What each question adds to a trial's score, by its id."""
    captions = captions_of(trial)
    return None if captions is None else {name: c.part for name, c in captions.items()}


def merits(captions_of: CaptionsOf, trial: Trial) -> ImageScores | None:
    """The same, with higher numbers for better scores."""
    scores = image_scores(captions_of, trial)
    if scores is None:
        return None
    return {name: trial.objective.merit(part) for name, part in scores.items()}
