"""PostgreSQL as the tracking store itself: where its password may be, what is said without it."""

import contextlib
import os
import subprocess

import psutil
import pytest

from tests.cluster.raylets import LNT
from tests.left_behind import files_with, written_forms
from tests.servers import DATABASE_PASSWORD, HANG_S, free_ports, wait_for

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def uri(database, tracking) -> str:
    """Of the server's own database, without a password."""
    scheme, _, host = database.rpartition("@")
    return f"{scheme.rpartition(':')[0]}@{host}/mlflow"


def best(uri: str, **environment: str) -> subprocess.CompletedProcess:
    command = [LNT, "best", "nosuch", "--tracking-uri", uri]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_it_comes_from_the_environment_a_file_or_the_address(uri, database, tmp_path) -> None:
    file = tmp_path / "pgpass"
    file.write_text(f"*:*:*:lnt:{DATABASE_PASSWORD}\n")
    file.chmod(0o600)
    for done in (
        best(uri, PGPASSWORD=DATABASE_PASSWORD),
        best(uri, PGPASSFILE=str(file)),
        best(f"{database}/mlflow"),
    ):
        assert done.returncode == 2
        assert "NAME is 'nosuch'" in done.stderr or "there is no sweep 'nosuch'" in done.stderr
        assert DATABASE_PASSWORD not in done.stderr


@pytest.mark.parametrize("given", [{}, {"PGPASSWORD": "wrong"}])
def test_without_it_or_with_a_wrong_one_it_is_said_at_once(uri, given) -> None:
    done = best(uri, HOME="/nonexistent", **given)
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the tracking store at {uri} requires a password, or rejects the one given: set "
        "PGPASSWORD, or write it to ~/.pgpass or the file that PGPASSFILE names\n"
    )


def test_a_wrong_one_in_the_address_is_not_shown(uri) -> None:
    done = best(uri.replace("lnt@", "lnt:no-secret@"))
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the tracking store at {uri.replace('lnt@', 'lnt:***@')} rejects the user or the "
        "password in its URI\n"
    )


def test_a_database_that_is_away_is_told_without_the_password() -> None:
    (port,) = free_ports(1)
    done = best(f"postgresql://lnt:{DATABASE_PASSWORD}@127.0.0.1:{port}/mlflow")
    assert done.returncode == 2
    shown = f"postgresql://lnt:***@127.0.0.1:{port}/mlflow"
    assert done.stderr.startswith(
        f"lnt: tracking.uri is {shown!r}, where no MLflow tracking store "
    )
    assert DATABASE_PASSWORD not in done.stderr


def test_no_process_of_a_server_has_it_among_its_arguments(database, tracking, tmp_path) -> None:
    """Everyone on a machine can read those."""
    (port,) = free_ports(1)
    log = tmp_path / "log"
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"{database}/mlflow"}
    with log.open("wb") as file:
        ui = subprocess.Popen(
            [LNT, "ui", "--port", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", log, process=ui)
        servers = [psutil.Process(pid) for pid in (ui.pid, tracking.pid)]
        processes = [p for server in servers for p in [server, *server.children(recursive=True)]]
        arguments = []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # ended meanwhile
                arguments.append(" ".join(process.cmdline()))
    finally:
        ui.terminate()
        ui.wait(timeout=HANG_S)
    assert len(arguments) > 2
    forms = written_forms(DATABASE_PASSWORD, "lnt")
    assert not [line for line in arguments if any(form.decode() in line for form in forms)]
    assert files_with(forms, [tmp_path]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["log"]  # no other store was made
