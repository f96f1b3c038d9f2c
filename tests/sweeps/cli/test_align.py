"""`lnt align`: stage 1 alone."""

import pytest
import ray
import yaml

from lnt_core.training.align import kept_connector
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_REFUSED
from sweeps.cli.main import main
from sweeps.tracking.store import connect, experiment_id

pytestmark = pytest.mark.heavy


@pytest.fixture
def file(micro, tmp_path, monkeypatch):
    """A sweep of the micro model, in a folder with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LNT_CACHE", str(tmp_path / "cache"))
    align = micro["align"] | {"max_steps": 6}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(micro | {"align": align}))
    return tmp_path / "sweep.yaml"


def test_it_is_trained_once_and_logged_once(file, capsys) -> None:
    for attempt in range(2):
        assert main(["align", str(file)]) == EXIT_DONE
        told = capsys.readouterr().out
        assert ("Stage 1: step 6 of 6, loss " in told) == (attempt == 0)
        (saved,) = (file.parent / "cache").glob("align-*")
        assert f"Connector: {saved}" in told
    assert kept_connector(saved) is not None
    client = connect("sqlite:///mlflow.db")
    (run,) = client.search_runs([experiment_id(client, "small")])
    assert run.info.status == "FINISHED"
    assert {"lnt.kind": "align", "lnt.status": "finished"}.items() <= run.data.tags.items()
    assert "mlflow.parentRunId" not in run.data.tags
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in points] == [1, 2, 3, 4, 5, 6]


def test_a_run_that_a_kill_left_open_is_closed_by_the_next_attempt(file, capsys) -> None:
    assert main(["align", str(file)]) == EXIT_DONE
    client = connect("sqlite:///mlflow.db")
    (run,) = client.search_runs([experiment_id(client, "small")])
    client.update_run(run.info.run_id, status="RUNNING")  # as if killed before it was closed
    for end in file.parent.glob("lnt_runs/small/align-*/align/*/finished"):
        end.unlink()
    assert main(["align", str(file)]) == EXIT_DONE
    (run,) = client.search_runs([experiment_id(client, "small")])
    assert (run.info.status, run.data.tags["lnt.status"]) == ("FINISHED", "finished")
    assert len(client.get_metric_history(run.info.run_id, "train/loss")) == 6


def test_more_workers_than_there_is_room_for_are_refused(file, capsys) -> None:
    given = ["align.workers=4096", "align.batch_size=4096"]
    argv = ["align", str(file)] + [part for value in given for part in ("--set", value)]
    try:
        assert main(argv) == EXIT_REFUSED
    finally:
        ray.shutdown()
    said = capsys.readouterr().err
    assert "align.workers is 4096, but this Ray cluster has room for only " in said
