"""`lnt align`: stage 1 alone."""

import pytest
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


def test_a_sweep_without_one_is_refused(file, capsys) -> None:
    shared = ["train.deepspeed=zero3", "resources.workers_per_trial=2"]
    argv = ["align", str(file)] + [part for given in shared for part in ("--set", given)]
    assert main(argv) == EXIT_REFUSED
    assert "`lnt run` starts them" in capsys.readouterr().err
