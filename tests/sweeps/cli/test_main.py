"""The `lnt` command: imports, exit codes, and the arguments of every command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lnt_core import __version__
from sweeps.cli.exit_codes import EXIT_DONE, EXIT_REFUSED
from sweeps.cli.main import COMMANDS, main

LNT = str(Path(sys.executable).parent / "lnt")
HEAVY = {"torch", "ray", "mlflow", "optuna", "transformers", "pydantic", "rich"}


@pytest.mark.heavy
def test_the_installed_command_prints_one_json_object_and_nothing_else(tmp_path) -> None:
    argv = [LNT, "plan", "demo", "--no-files", "--json", "--set", "search.strategy=[full]"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == EXIT_DONE
    assert json.loads(done.stdout)["sweep"] == "demo"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_help_answers_without_the_heavy_libraries() -> None:
    code = (
        "import sys; from sweeps.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(*{HEAVY} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.returncode == EXIT_DONE
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.heavy
def test_the_end_of_the_command_collects_no_garbage() -> None:
    code = (
        "import atexit, gc; from sweeps.cli.main import main\n"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_freeze_count() > 1000))\n"
        "main()"
    )
    argv = [sys.executable, "-c", code, "--version"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout == f"lnt {__version__}\nFalse True\n"
    assert done.returncode == EXIT_DONE


@pytest.mark.heavy
def test_a_mistake_in_a_sweep_file_is_told_before_torch_is_imported(tmp_path) -> None:
    (tmp_path / "sweep.yaml").write_text(
        "name: twice\nmodel: {tiny: true}\n"
        "search: {strategy: [full], learning_rate: [1e-3, 1e-3]}\n"
    )
    code = (
        "import sys; from sweeps.plan.checks import check_values\n"
        "from sweeps.plan.load import load_sweep\n"
        "try: check_values(load_sweep('sweep.yaml', []))\n"
        "except Exception as error: print(error)\n"
        f"print(*{HEAVY} & set(sys.modules) - {{'pydantic'}})"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert "is listed twice" in done.stdout
    assert done.stdout.splitlines()[-1] == "", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == EXIT_DONE
    assert capsys.readouterr().out.startswith(f"usage: lnt {command} ")


def test_the_version_is_the_packages(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == EXIT_DONE
    assert capsys.readouterr().out == f"lnt {__version__}\n"


@pytest.mark.parametrize("argv", [[], ["rnu", "demo"], ["plan"]])
def test_a_command_line_that_makes_no_sense_is_refused_with_2(argv, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == EXIT_REFUSED
    assert capsys.readouterr().out == ""
