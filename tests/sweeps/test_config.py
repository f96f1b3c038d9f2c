"""Constants of the sweep file's config, and the tracking URI."""

import pytest

from sweeps.cli.main import main
from sweeps.config import SweepConfig
from sweeps.passwords import PLACES
from sweeps.plan.load import load_sweep
from sweeps.search_space import PAPER_RATES


def test_the_papers_grid_has_its_ends_and_its_count() -> None:
    assert len(PAPER_RATES) == 11
    assert (PAPER_RATES[0], PAPER_RATES[-1]) == (2e-3, 1e-7)
    assert list(PAPER_RATES) == sorted(PAPER_RATES, reverse=True)


URIS = {
    "https://me:{}@mlflow.lab": ("https://me:***@mlflow.lab", PLACES["http"]),
    "postgresql+psycopg://lnt:{}@db/mlflow": (
        "postgresql+psycopg://lnt:***@db/mlflow",
        PLACES["postgresql"],
    ),
    "mysql+pymysql://db/mlflow?user=lnt&password={}": (
        "mysql+pymysql://db/mlflow?user=lnt&password=***",
        PLACES["mysql"],
    ),
    "mssql+pyodbc://lnt:{}@SOURCE": (
        "mssql+pyodbc://lnt:***@SOURCE",
        "give it to the database's driver by a file of its own",
    ),
}


@pytest.mark.parametrize("uri", URIS)
@pytest.mark.parametrize("command", ["plan", "run", "submit"])
def test_a_password_in_the_tracking_uri_is_refused_and_not_shown(uri, command, capsys) -> None:
    argv = [command, "demo", "--set", f"tracking.uri={uri.format('secret')}"]
    assert main(argv) == 2
    shown, place = URIS[uri]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "lnt: demo: 1 problem\n"
        f"  tracking.uri: {shown!r} contains a password, which would be stored with the results; "
        f"remove it (USER@HOST may stay) and {place}\n"
    )


@pytest.mark.parametrize("uri", ["postgresql://lnt@db/mlflow", "http://mlflow.lab:5000"])
def test_a_tracking_uri_without_a_password_is_taken(uri) -> None:
    assert load_sweep("demo", (f"tracking.uri={uri}",)).tracking.uri == uri


@pytest.mark.parametrize(
    "value", ["[postgresql://lnt:secret@db/x]", "{postgresql://lnt:secret@db/x"]
)
def test_nor_is_it_shown_where_the_uri_is_no_text_or_no_yaml(value, capsys) -> None:
    assert main(["plan", "demo", "--set", f"tracking.uri={value}"]) == 2
    said = capsys.readouterr().err
    assert "postgresql://lnt:***@db/x" in said
    assert "secret" not in said


def test_trials_on_gpus_compute_in_bf16_unless_told_otherwise() -> None:
    on_gpu = ("resources.gpus_per_trial=1",)
    assert load_sweep("demo", ()).train.precision == "fp32"
    assert load_sweep("demo", on_gpu).train.precision == "bf16"
    assert load_sweep("demo", (*on_gpu, "train.precision=fp32")).train.precision == "fp32"
    assert load_sweep("paper-7b", ()).train.precision == "tf32"


def test_a_written_sweep_file_is_the_same_sweep_when_read_again() -> None:
    """What stage 1 takes from the sweep is not written as if it had been given."""
    search = {"strategy": ["layernorm"], "learning_rate": [1e-3]}
    given = {"name": "a", "seed": 3, "model": {"tiny": {}}, "search": search}
    given |= {"train": {"precision": "bf16"}, "align": {"max_steps": 2}}
    sweep = SweepConfig.model_validate(given)
    again = SweepConfig.model_validate(sweep.model_dump(mode="json"))
    assert again.trial_align == sweep.trial_align
    assert (again.trial_align.seed, again.trial_align.precision) == (3, "bf16")
    own = SweepConfig.model_validate(given | {"align": {"max_steps": 2, "seed": 0}})
    assert SweepConfig.model_validate(own.model_dump(mode="json")).trial_align.seed == 0
