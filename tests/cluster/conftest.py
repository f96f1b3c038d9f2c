"""A real Ray head with token authentication, in a process group of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import cache  # noqa: F401  a fixture

RAY = str(Path(sys.executable).parent / "ray")
LNT = str(Path(sys.executable).parent / "lnt")
TOKEN = "0123456789abcdef" * 4


@dataclass(frozen=True)
class Head:
    """A running head."""

    address: str
    token_file: Path
    folder: Path

    def lnt(self, *argv: str, token: str | None = "right") -> subprocess.CompletedProcess:
        """Run `lnt` as a client elsewhere would: by the address and the token alone."""
        names = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "HOME")
        environment = {k: v for k, v in os.environ.items() if k not in names}
        environment["HOME"] = str(self.folder / "home")  # no ~/.ray/auth_token there
        if token is not None:
            environment["RAY_AUTH_TOKEN"] = TOKEN if token == "right" else token
        command = [LNT, *argv, "--address", self.address]
        return subprocess.run(command, env=environment, capture_output=True, text=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """`ray start --head` on ports of its own; killed as a group."""
    folder = tmp_path_factory.mktemp("head")
    token_file = folder / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    port, dashboard, agent = free_ports(3)
    command = [RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    command += [f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", "--num-cpus=2"]
    command += [f"--temp-dir=/tmp/r{port}", "--disable-usage-stats"]  # a socket's name is short
    settings = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # listens on 127.0.0.1 alone
    }
    log = (folder / "head.log").open("wb")
    process = subprocess.Popen(
        command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True
    )
    address = f"http://127.0.0.1:{dashboard}"
    request = urllib.request.Request(
        f"{address}/api/version", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(request, timeout=2)
            break
        except OSError:
            assert time.monotonic() < until, (folder / "head.log").read_text()[-3000:]
            time.sleep(0.5)
    yield Head(address, token_file, folder)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
