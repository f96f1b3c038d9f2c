"""`lnt export` without a winner and `lnt train` without a config."""

from sweeps.cli.exit_codes import EXIT_REFUSED
from sweeps.cli.main import main


def test_a_sweep_without_a_finished_trial_has_nothing_to_export(uri, tmp_path, capsys) -> None:
    out = str(tmp_path / "out")
    assert main(["export", "demo", "-o", out, "--tracking-uri", uri]) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "lnt: the sweep 'demo' has no finished trial to export"
    )
    assert not (tmp_path / "out").exists()


def test_training_from_a_file_that_is_not_there_says_what_writes_one(tmp_path, capsys) -> None:
    missing = str(tmp_path / "best.yaml")
    assert main(["train", missing]) == EXIT_REFUSED
    assert capsys.readouterr().err == (
        f"lnt: there is no file {missing}; `lnt export NAME -o DIR` writes one\n"
    )
