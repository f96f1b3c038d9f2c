"""The winners in MLflow's Model Registry: a model per sweep, a version per winner."""

import logging
from pathlib import Path

from lnt_core.errors import LntError
from lnt_core.models.plain import MERGED
from lnt_core.strategies import STRATEGIES
from sweeps.best import BEST, BestConfig, write_best
from sweeps.results.selection import Trial
from sweeps.settings import quiet_transformers

logger = logging.getLogger(__name__)
MAX_MERGED_GIB = 1.0
"""Larger models are registered without their base, which is loaded where it is used."""


def make_model(weights: Path, trial: Trial, best: BestConfig, cache: Path) -> None:
    """Make a winner's weights a model that MLflow loads; with its base, if that is small.

    A base that cannot be loaded here is left out: it is loaded where the model is used.
    """
    from sweeps.pyfunc_model import write_model_files

    write_best(best, weights / BEST)
    write_model_files(weights, trial.run_id)
    if _is_small(trial) and STRATEGIES[trial.strategy].merges and not (weights / MERGED).is_dir():
        from lnt_core.evaluation.caption import write_merged

        quiet_transformers()
        draft = weights / f".{MERGED}"
        try:
            write_merged(best.trial, weights, draft, cache=cache)
            draft.rename(weights / MERGED)
        except (LntError, OSError) as error:
            logger.warning("%s is registered without its base: %s", trial.strategy, error)


def _is_small(trial: Trial) -> bool:
    """Judged by what trained and its share of all parameters, in float32."""
    if not trial.trainable_share > 0:
        return False
    return trial.trainable_parameters / trial.trainable_share * 4 <= MAX_MERGED_GIB * 2**30
