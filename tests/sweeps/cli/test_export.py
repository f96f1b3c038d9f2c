"""`lnt export` without a winner and `lnt train` without a config."""

import pytest

from sweeps.cli.exit_codes import EXIT_REFUSED
from sweeps.cli.main import main
from sweeps.export.best import BestConfig, write_best
from sweeps.resources import ResourcesConfig
from sweeps.storage.format import FORMAT


def best_of(config) -> BestConfig:
    return BestConfig(
        format=FORMAT,
        sweep="s",
        run_id="r",
        metric="m",
        score=1.0,
        resources=ResourcesConfig(),
        trial=config,
    )


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


PLACES = {
    "file/out": "file is not a folder",
    "loop/out": "loop is not a folder",
    "x" * 290: "a part of its name has more than 255 bytes",
    "a\0b": "its name has a NUL character",
    "/dev/null": "/dev/null is not a folder",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["export", "report", "train"])
def test_an_output_where_nothing_can_be_written_is_refused_at_once(
    command, place, uri, tmp_path, capsys, trial_config, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    if command == "train":
        write_best(best_of(trial_config()), tmp_path / "best.yaml")
        argv = ["train", "best.yaml", "-o", place]
    else:
        out = f"{place}/report.html" if command == "report" else place
        argv = [command, "demo", "-o", out, "--tracking-uri", uri]
    assert main(argv) == EXIT_REFUSED
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("lnt: -o is ")
    assert f"where nothing can be written: {PLACES[place]}; choose" in told.replace(
        f"{tmp_path}/", ""
    )


def test_a_place_that_only_looks_writable_is_refused(tmp_path, capsys, trial_config) -> None:
    write_best(best_of(trial_config()), tmp_path / "best.yaml")
    assert main(["train", str(tmp_path / "best.yaml"), "-o", "/sys/kernel/out"]) == EXIT_REFUSED
    told = "lnt: -o is '/sys/kernel/out', where nothing can be written: "
    assert capsys.readouterr().err.splitlines()[-1].startswith(told)


def test_a_report_in_place_of_a_folder_is_refused(uri, tmp_path, capsys) -> None:
    argv = ["report", "demo", "-o", str(tmp_path), "--tracking-uri", uri]
    assert main(argv) == EXIT_REFUSED
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"lnt: -o is {str(tmp_path)!r}, which is a folder; give the name of a file"
    )
