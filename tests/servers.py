"""Real servers for tests: MLflow behind a password, on PostgreSQL if asked; each can be killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

HANG_S = 600
"""What takes longer has stopped for ever, on however busy a machine."""
PASSWORD = "a password of 12 letters"
USER = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
SECRETS = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32, "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD}
DATABASE_PASSWORD = "of-the-database/1"
SERVER = Path(__file__).parents[1] / "cluster" / "mlflow"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(
    url: str,
    log: Path,
    *,
    headers: dict[str, str] | None = None,
    process: subprocess.Popen | None = None,
) -> None:
    """Until it answers at all; a server's own process, if given, must not end meanwhile."""
    until = time.monotonic() + HANG_S
    while True:
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=2)
            return
        except OSError:
            assert process is None or process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.3)


class MlflowServer:
    """cluster/mlflow/serve.sh, on a database address to which `/mlflow` and `/access` are added."""

    def __init__(self, folder: Path, database: str) -> None:
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self.folder, self._database = folder, database
        self._process: subprocess.Popen | None = None

    @property
    def pid(self) -> int:
        """Of the process that starts the others."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        log = self.folder / "server.log"
        settings = SECRETS | {
            "DATABASE": self._database,
            "ARTIFACTS": str(self.folder / "artifacts"),
            "HOST": "127.0.0.1",
            "PORT": str(self._port),
            "WORKERS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                ["bash", "serve.sh"],
                cwd=SERVER,
                env=os.environ | settings,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        wait_for(f"{self.url}/health", log, process=self._process)

    def kill(self) -> None:
        """kill -9, with all its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def mlflow_server(folder: Path, *, postgres: str = "") -> Iterator[MlflowServer]:
    """A running one, on sqlite, or on two databases of a PostgreSQL."""
    server = MlflowServer(folder, postgres or f"sqlite:///{folder}")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL with the databases `mlflow` and `access`; gives its address without them.

    The address contains the password of its user, `DATABASE_PASSWORD`.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (.ci/run installs it)")
    (port,) = free_ports(1)
    # Not below pytest's folder, which nobody else may enter: PostgreSQL does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="lnt-postgres-"))
    data, log = folder / "data", folder / "log"
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(program: str, *argv: str) -> None:
        command = [str(programs[-1] / program), *argv]
        environment = os.environ | {"PGPASSWORD": DATABASE_PASSWORD}
        done = subprocess.run(
            command, cwd="/", env=environment, user=user, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    password = folder / "password"
    password.write_text(DATABASE_PASSWORD)
    access = ("--username=lnt", "--auth=scram-sha-256", f"--pwfile={password}")
    run("initdb", "-D", str(data), *access, "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -k {folder}"
    run("pg_ctl", "-D", str(data), "-o", options, "-l", str(log), "-w", "start")
    try:
        for name in ("mlflow", "access"):
            run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "lnt", name)
        yield f"postgresql://lnt:{quote(DATABASE_PASSWORD, safe='')}@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)
