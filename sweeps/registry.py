"""The winners in MLflow's Model Registry: a model per sweep, a version per winner."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core.errors import LntError
from lnt_core.models.plain import MERGED
from lnt_core.strategies import STRATEGIES
from lnt_core.trial import WEIGHTS
from sweeps.best import BEST, BestConfig, write_best
from sweeps.plan.labels import short_rate
from sweeps.results.selection import Sweep, Trial
from sweeps.settings import quiet_transformers

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

MAX_MERGED_GIB = 1.0
"""Larger models are registered without their base, which is loaded where it is used."""
PASSING = (408, 429)
"""HTTP's refusals that time mends; after any other 4xx trying again is of no use."""


@dataclass(frozen=True)
class Entry:
    """A winner as a version of a registered model."""

    name: str
    """The sweep's."""
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str


def entries(sweep: Sweep) -> list[Entry]:
    """A version for each winner, the best of all with the alias ``best`` too."""
    found = []
    for number, winner in enumerate(sweep.winners):
        trial = winner.trial
        rate, score = short_rate(trial.learning_rate), f"{trial.score:.2f}"
        own = f"best-{trial.strategy}"
        tags = {
            "strategy": trial.strategy,
            "learning_rate": str(trial.learning_rate),
            "score": repr(trial.score),
            "metric": sweep.metric,
            "run_id": trial.run_id,
        }
        found.append(
            Entry(
                name=sweep.name,
                run_id=trial.run_id,
                aliases=(own,) if number else ("best", own),
                tags=tags,
                description=f"{trial.variant} at {rate}: {score}, {sweep.metric}",
            )
        )
    return found


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


def register(client: "MlflowClient", entry: Entry) -> None:
    """Add the version if its run has none yet; point the aliases at it. Twice does no harm.

    A registry that refuses, as one without permission does, is left with a warning.
    """
    from mlflow.exceptions import MlflowException

    try:
        version = _version(client, entry)
        for alias in entry.aliases:
            client.set_registered_model_alias(entry.name, alias, version)
    except MlflowException as error:
        status = error.get_http_status_code()
        if not 400 <= status < 500 or status in PASSING:
            raise
        logger.warning("MLflow's Model Registry refuses %s: %s", entry.name, str(error)[:200])


def _version(client: "MlflowClient", entry: Entry) -> str:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(entry.name, description="The winners of an lnt sweep.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    where = f"name = '{entry.name}' and run_id = '{entry.run_id}'"
    known = client.search_model_versions(where)
    if known:
        return str(known[0].version)
    artifacts = client.get_run(entry.run_id).info.artifact_uri
    made = client.create_model_version(
        entry.name,
        f"{artifacts}/{WEIGHTS}",
        run_id=entry.run_id,
        tags=entry.tags,
        description=entry.description,
        await_creation_for=0,
    )
    return str(made.version)
