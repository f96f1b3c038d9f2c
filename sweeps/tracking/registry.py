"""The winners in MLflow's Model Registry: one model per sweep, one version per winner."""

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lnt_core.trial import WEIGHTS
from sweeps.plan.labels import short_rate
from sweeps.results.selection import Sweep

if TYPE_CHECKING:
    from mlflow import MlflowClient


logger = logging.getLogger(__name__)
PASSING = (408, 429)
"""HTTP 4xx status codes of temporary errors; after any other 4xx a retry is useless."""


@dataclass(frozen=True)
class Entry:
    """A winner as a version of a registered model."""

    name: str
    """Name of the registered model, which is the sweep's."""
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]
    description: str


def entries(sweep: Sweep) -> list[Entry]:
    """A version for each winner; the best of all also has the alias ``best``."""
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


def register(client: "MlflowClient", entry: Entry) -> None:
    """Add the version if its run has none yet, and set its aliases; may be repeated.

    If the registry refuses, for example for lack of permission, a warning is logged instead.

    Raises:
        MlflowException: The server failed, perhaps only for a time.
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
