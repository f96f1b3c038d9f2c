"""Connects to the MLflow tracking store, with a clear message when that fails."""

import re
from typing import TYPE_CHECKING

from lnt_core.errors import AccessError, ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(uri: str) -> "MlflowClient":
    """A client of the store at ``uri``, which has answered one request.

    Raises:
        ConfigError: The store does not answer, or the URI is invalid.
        AccessError: The store requires a user and password, or rejects the ones given.
    """
    import logging

    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    try:
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:  # noqa: BLE001  whatever a store raises, the user's fix is the same
        if _is_refusal(error):
            raise AccessError(_access_advice(uri)) from None
        raise ConfigError(
            f"tracking.uri is {uri!r}, where no MLflow tracking store answers: "
            f"{str(error).splitlines()[0][:200]}"
        ) from None
    return client


def _is_refusal(error: Exception) -> bool:
    """Whether the error is HTTP 401 or 403; without a JSON body, only its text has the code."""
    status = getattr(error, "get_http_status_code", lambda: 0)()
    return status in (401, 403) or re.search(r"error code 40[13]\b", str(error)) is not None


def _access_advice(uri: str) -> str:
    from sweeps.settings import read_settings

    user = read_settings().tracking_user
    if user is None:
        return (
            f"the MLflow server at {uri} requires a user and a password: set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return (
        f"the MLflow server at {uri} rejects the user {user!r}: check MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD"
    )


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The id of the experiment of that name, which is created if there is none.

    Raises:
        ConfigError: The experiment is deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process may have created it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise ConfigError(
            f"the MLflow experiment {name!r} is deleted; restore it or rename the sweep"
        )
    return str(found.experiment_id)
