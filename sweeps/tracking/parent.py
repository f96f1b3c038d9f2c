"""Finds the parent run of an execution, and tells when it is gone."""

from typing import TYPE_CHECKING

from lnt_core.errors import ConfigError
from sweeps.passwords import redacted
from sweeps.results import tags as tag
from sweeps.storage.execution import TRACKED, Execution
from sweeps.storage.format import FORMAT
from sweeps.tracking.sqlite_lock import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient


def find_parent(client: "MlflowClient", experiment_id: str, execution: Execution) -> str | None:
    """The id of an execution's parent run; None if there is none."""
    tags = {tag.KIND: "sweep", tag.FORMAT: str(FORMAT), tag.EXECUTION: execution.id}
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment_id], wanted)
    return str(found[0].info.run_id) if found else None


def check_store(uri: str, execution: Execution) -> None:
    """Refuse to go on with an execution whose store was deleted, before a new one is created.

    Raises:
        ConfigError: The store was a file, which is gone.
    """
    file = sqlite_file(uri)
    if execution.is_tracked and file is not None and not file.is_file():
        raise gone(f"its tracking store {uri}", execution)


def check_parent(client: "MlflowClient", name: str, uri: str, execution: Execution) -> None:
    """Refuse to go on with an execution whose runs were deleted.

    Raises:
        ConfigError: The store has no such experiment, or no such parent run.
    """
    if not execution.is_tracked:
        return
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise gone(f"its experiment {name!r} in {redacted(uri)}", execution)
    is_deleted = experiment.lifecycle_stage != "active"  # which is refused when it is opened
    if not is_deleted and find_parent(client, experiment.experiment_id, execution) is None:
        what = f"its parent run in the experiment {name!r} of {redacted(uri)}"
        raise gone(what, execution)


def gone(what: str, execution: Execution) -> ConfigError:
    """The error that ends a sweep of which MLflow has lost something; ``what``: what is lost."""
    return ConfigError(
        f"the execution {execution.id} cannot go on: {what} is gone. Restore it; or delete "
        f"{execution.path}/trials/*/{TRACKED}*, and --resume logs everything anew"
    )
