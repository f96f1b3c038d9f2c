"""What another format of executions, runs and exports is refused with."""

import pytest

from lnt_core.errors import ConfigError
from lnt_core.files import read_json, write_json
from sweeps.config import SweepConfig
from sweeps.export.best import load_best
from sweeps.results.read import read_sweep
from sweeps.storage.execution import latest_execution, new_execution
from sweeps.storage.format import FORMAT, check_format
from sweeps.tracking.store import experiment_id


def test_its_own_format_is_read_as_a_number_and_as_a_tag() -> None:
    check_format(FORMAT, "x")
    check_format(str(FORMAT), "x")


@pytest.mark.parametrize(("found", "told"), [(None, "no format number"), (99, "format 99")])
def test_another_is_refused_with_what_it_has_and_what_is_read(found, told) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_format(found, "the thing")
    assert str(refusal.value).startswith(f"the thing has {told}, ")


def test_an_execution_of_another_format_is_not_resumed(tmp_path) -> None:
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "search": {"strategy": ["full"]},
            "tracking": {"storage": str(tmp_path)},
        }
    )
    path = new_execution(sweep).path / "execution.json"
    write_json(path, read_json(path) | {"format": FORMAT + 1})
    with pytest.raises(ConfigError, match=f"has format {FORMAT + 1}, "):
        latest_execution(sweep)


def test_a_sweep_in_mlflow_of_another_format_is_not_read(client) -> None:
    client.create_run(experiment_id(client, "of-before"), tags={"lnt.kind": "sweep"})
    with pytest.raises(ConfigError, match="of 'of-before' has no format number, "):
        read_sweep(client, "of-before")


def test_an_export_of_another_format_is_not_loaded(tmp_path) -> None:
    (tmp_path / "best.yaml").write_text("sweep: s\n")
    with pytest.raises(ConfigError, match=r"best\.yaml has no format number, "):
        load_best(tmp_path / "best.yaml")
