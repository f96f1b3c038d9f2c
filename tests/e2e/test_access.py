"""An MLflow server behind a password: who has it not is told in one sentence.

Who has it is tracked there in tests/cluster, where every sweep is.
"""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.servers import USER, mlflow_server

pytestmark = pytest.mark.sweep
LNT = str(Path(sys.executable).parent / "lnt")
NAMES = tuple(USER)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`mlflow server` with its own basic authentication; gives its address."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running.url


def lnt(*argv: str, user: str = "", password: str = "") -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if k not in NAMES}
    if user:
        environment |= dict(zip(NAMES, (user, password), strict=True))
    return subprocess.run([LNT, *argv], env=environment, capture_output=True, text=True)


def test_a_raw_client_gets_401(server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"{server}/api/2.0/mlflow/experiments/search?max_results=1")
    assert refusal.value.code == 401


def test_without_a_password_it_is_said_what_to_set(server) -> None:
    done = lnt("best", "demo", "--tracking-uri", server)
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the MLflow server at {server} requires a user and a password: set "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD\n"
    )


def test_with_a_wrong_password_it_is_said_whose(server) -> None:
    done = lnt("best", "demo", "--tracking-uri", server, user="admin", password="wrong")
    assert done.returncode == 4
    assert done.stderr == (
        f"lnt: the MLflow server at {server} rejects the user 'admin': check "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD\n"
    )


def test_a_sweep_with_a_wrong_password_starts_nothing(server, tmp_path, cache) -> None:
    storage = tmp_path / "runs"
    settings = [f"tracking.uri={server}", f"tracking.storage={storage}"]
    overrides = [part for setting in settings for part in ("--set", setting)]
    done = lnt("run", "demo", *overrides, user="admin", password="wrong")
    assert done.returncode == 4
    assert not storage.exists()
