"""PostgreSQL as the tracking store itself: where its password may be, what is said without it."""

import os
import subprocess

import pytest

from tests.cluster.raylets import LNT
from tests.servers import DATABASE_PASSWORD, free_ports

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
