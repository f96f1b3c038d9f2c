"""Connects to the MLflow tracking store, with a clear message when that fails."""

import re
from typing import TYPE_CHECKING

from lnt_core.errors import AccessError, ConfigError
from sweeps.passwords import has_password, place_of_password, redacted
from sweeps.tracking.sqlite_lock import sqlite_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASES = ("postgresql", "mysql", "mssql")
"""What the URI of a database server starts with."""
REFUSAL = re.compile(
    r"error code 40[13]\b"  # MLflow, where the answer has no JSON body
    r"|password authentication failed|no password supplied"  # PostgreSQL
    r"|Access denied for user|Login failed for user"  # MySQL, SQL Server
)


def connect(uri: str) -> "MlflowClient":
    """A client of the store at ``uri``, which has answered one request.

    Raises:
        ConfigError: The store does not answer, or the URI is invalid.
        AccessError: The store requires a user and password, or rejects the ones given.
    """
    import logging

    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises them, too
    try:
        if uri.startswith(DATABASES):
            _ask_once(uri)
        with sqlite_lock(uri):  # the first client creates the tables
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001  whatever a store raises, the user's fix is the same
        if _is_refusal(error):
            raise AccessError(_access_advice(uri)) from None
        # The URI first: of a URI alone it is known where its password ends.
        reason = redacted(str(error).replace(uri, redacted(uri)))
        raise ConfigError(
            f"tracking.uri is {redacted(uri)!r}, where no MLflow tracking store answers: "
            f"{reason.splitlines()[0][:200]}"
        ) from None
    return client


def _ask_once(uri: str) -> None:
    """Connect to a database server once, because MLflow itself insists for almost two minutes."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _is_refusal(error: Exception) -> bool:
    """Whether a password is missing or wrong: HTTP 401 or 403, or what databases say."""
    status = getattr(error, "get_http_status_code", lambda: 0)()
    return status in (401, 403) or REFUSAL.search(str(error)) is not None


def _access_advice(uri: str) -> str:
    from mlflow.utils.credentials import read_mlflow_creds

    place = place_of_password(uri)
    if has_password(uri):
        return f"the tracking store at {redacted(uri)} rejects the user or the password in its URI"
    if uri.startswith(DATABASES):
        return f"the tracking store at {uri} requires a password, or rejects the one given: {place}"
    user = read_mlflow_creds().username
    if user is None:
        return f"the MLflow server at {uri} requires a user and a password: {place}"
    return f"the MLflow server at {uri} rejects the user {user!r} or the password: {place}"


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
