"""An MLflow server behind a password: who has it not is told in one sentence.

Who has it is tracked there in tests/cluster, where every sweep is.
"""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest

from sweeps.passwords import PLACES
from tests import warm
from tests.servers import PASSWORD, USER, mlflow_server

pytestmark = pytest.mark.sweep
LNT = str(Path(sys.executable).parent / "lnt")
NAMES = tuple(USER)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`mlflow server` with its own basic authentication; gives its address."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running.url


def lnt(
    *argv: str, user: str = "", password: str = "", home: Path | None = None
) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k not in NAMES}
    if home is not None:
        environment["HOME"] = str(home)
    if user:
        environment |= dict(zip(NAMES, (user, password), strict=True))
    return warm.run([LNT, *argv], env=environment)


def test_a_raw_client_gets_401(server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{server}/api/2.0/mlflow/experiments/search?max_results=1")
    assert refusal.value.code == 401


def test_without_a_password_it_is_said_what_to_set(server) -> None:
    done = lnt("best", "demo", "--tracking-uri", server)
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the MLflow server at {server} requires a user and a password: {PLACES['http']}\n"
    )


def test_with_a_wrong_password_it_is_said_whose(server) -> None:
    done = lnt("best", "demo", "--tracking-uri", server, user="admin", password="wrong")
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the MLflow server at {server} rejects the user 'admin' or the password: "
        f"{PLACES['http']}\n"
    )


def test_a_password_in_the_address_works_and_is_not_shown(server) -> None:
    address, shown = (server.replace("//", f"//admin:{p}@") for p in (quote(PASSWORD), "***"))
    done = lnt("best", "demo", "--tracking-uri", address)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the tracking store contains no sweeps" in done.stderr
    assert lnt("ui", "--tracking-uri", address).stdout == f"The dashboard is at {shown}\n"
    done = lnt("best", "demo", "--tracking-uri", address.replace("letters", "wrong"))
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the tracking store at {shown} rejects the user or the password in its URI\n"
    )


def test_a_password_in_a_file_of_mlflow_works(server, tmp_path) -> None:
    file = tmp_path / ".mlflow" / "credentials"
    file.parent.mkdir()
    lines = [f"{name.lower()} = {value}" for name, value in USER.items()]
    file.write_text("\n".join(["[mlflow]", *lines]))
    done = lnt("best", "demo", "--tracking-uri", server, home=tmp_path)
    assert "the tracking store contains no sweeps" in done.stderr


def test_a_server_that_is_away_is_told_without_the_password(tmp_path) -> None:
    done = lnt("best", "demo", "--tracking-uri", "http://admin:secret@127.0.0.1:9")
    assert done.returncode == 2
    assert "tracking.uri is 'http://admin:***@127.0.0.1:9', where no MLflow" in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_a_sweep_with_a_wrong_password_starts_nothing(server, tmp_path, cache) -> None:
    storage = tmp_path / "runs"
    settings = [f"tracking.uri={server}", f"tracking.storage={storage}"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    done = lnt("run", "demo", *overrides, user="admin", password="wrong")
    assert done.returncode == 4
    assert not storage.exists()
