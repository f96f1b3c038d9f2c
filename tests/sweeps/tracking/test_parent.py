"""An execution whose runs are gone is not resumed as if it had never had any."""

import pytest

from lnt_core.errors import ConfigError
from sweeps.storage.execution import new_execution
from sweeps.tracking.parent import check_parent, check_store, find_parent
from sweeps.tracking.store import experiment_id
from tests.sweeps.executions import tiny_sweep, track, trial_runs


@pytest.fixture
def tracked(client, sweep, execution):
    """A tracker that has opened a trial's run."""
    sent = track(client, sweep, execution)
    sent.started(trial_runs(sweep)[0])
    sent.close("KILLED")
    return sent


def test_a_parent_is_found_by_its_execution(client, sweep, execution, tracked) -> None:
    experiment = experiment_id(client, sweep.name)
    assert find_parent(client, experiment, execution) == tracked.parent_id
    assert find_parent(client, experiment, new_execution(sweep)) is None
    check_parent(client, sweep.name, "URI", execution)


def test_a_parent_that_was_deleted_is_told_with_what_to_do(
    client, sweep, execution, tracked
) -> None:
    client.delete_run(tracked.parent_id)
    with pytest.raises(ConfigError) as refused:
        check_parent(client, sweep.name, "URI", execution)
    assert str(refused.value) == (
        f"the execution {execution.id} cannot go on: its parent run in the experiment "
        f"{sweep.name!r} of URI is gone. Restore it; or delete "
        f"{execution.path}/trials/*/tracked.json*, and --resume logs everything anew"
    )
    for path in execution.path.glob("trials/*/tracked.json*"):
        path.unlink()
    check_parent(client, sweep.name, "URI", execution)


def test_an_experiment_that_is_not_there_is_told(client, execution, tracked) -> None:
    with pytest.raises(ConfigError, match="its experiment 'other' in URI is gone"):
        check_parent(client, "other", "URI", execution)


def test_a_store_that_was_deleted_is_not_created_again(tmp_path, execution, tracked) -> None:
    uri = f"sqlite:///{tmp_path / 'gone.db'}"
    with pytest.raises(ConfigError, match=r"its tracking store sqlite://.*gone\.db is gone"):
        check_store(uri, execution)
    assert not (tmp_path / "gone.db").exists()
    check_store("http://127.0.0.1:5000", execution)


def test_before_the_first_run_a_store_may_be_new(tmp_path, client, store_uri) -> None:
    execution = new_execution(tiny_sweep(tmp_path, store_uri))
    check_store(f"sqlite:///{tmp_path / 'new.db'}", execution)
    check_parent(client, "other", store_uri, execution)
