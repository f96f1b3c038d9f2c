"""Reaching the MLflow tracking store, with a message for people when it cannot be reached."""

import re
from typing import TYPE_CHECKING

from lnt_core.errors import AccessError, ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(uri: str) -> "MlflowClient":
    """A client of the store at ``uri`` that has answered once.

    Raises:
        ConfigError: It does not answer, or the address is none.
        AccessError: It wants a user and password, or refuses the ones given.
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
    """HTTP 401 or 403: MLflow gives the code in its text alone where the body is not JSON."""
    status = getattr(error, "get_http_status_code", lambda: 0)()
    return status in (401, 403) or re.search(r"error code 40[13]\b", str(error)) is not None


def _access_advice(uri: str) -> str:
    from sweeps.settings import read_settings

    user = read_settings().tracking_user
    if user is None:
        return (
            f"the MLflow server at {uri} wants a user and a password: set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return (
        f"the MLflow server at {uri} refuses the user {user!r}: check MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD"
    )


def experiment_id(client: "MlflowClient", name: str) -> str:
    """The experiment of that name, made if there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process was first
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise ConfigError(
            f"the MLflow experiment {name!r} is deleted; restore it or rename the sweep"
        )
    return str(found.experiment_id)
