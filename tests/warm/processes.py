"""Starts processes that are forks of a server's, with the part of `subprocess.Popen` tests use."""

import atexit
import contextlib
import functools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

_servers: list[subprocess.Popen] = []
"""With the pipes at whose end they end."""
SITE = Path(__file__).with_name("site")
"""In ``PYTHONPATH``: workers of Ray are forks, too."""


class Process:
    """A process with a session of its own."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path | None,
        env: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
    ) -> None:
        self.returncode: int | None = None
        self._log = stdout.name
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(server())
        request = {"argv": list(argv), "folder": str(cwd or Path.cwd()), "environment": dict(env)}
        content = json.dumps(request).encode() + b"\n"
        with Path(os.devnull).open("rb") as stdin:
            streams = [stdin.fileno(), stdout.fileno(), stderr.fileno()]
            sent = socket.send_fds(self._connection, [content], streams)
        self._connection.sendall(content[sent:])
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """As that of `subprocess.Popen`."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.returncode = int(self._line())
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """As that of `subprocess.Popen`."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"{self.pid}: {self._end_of_log()}", timeout or 0)
            self.returncode = int(self._line())
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """As that of `subprocess.Popen`."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _end_of_log(self) -> str:
        """What a process that hangs has printed last, if that goes to a file with a name."""
        return Path(self._log).read_text()[-2000:] if isinstance(self._log, str) else ""

    def _line(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            part = self._connection.recv(1)
            assert part, "the server of warm processes has died"
            line += part
        return line.decode()


def run(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with what the process prints."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        code = Process(argv, cwd=cwd, env=env, stdout=output, stderr=errors).wait()
        printed, complained = (_content(file) for file in (output, errors))
    return subprocess.CompletedProcess(argv, code, printed, complained)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def with_forks(process: psutil.Process) -> list[psutil.Process]:
    """What is below a process by now, and below the forks that what is there stands in for."""
    found = process.children(recursive=True)
    asked = {f"for {p.pid}" for p in found}
    for started in _servers:
        for keeper in psutil.Process(started.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if keeper.name() in asked:
                    found += keeper.children(recursive=True)
    return found


def of_workers() -> dict[str, str]:
    """Variables with which Ray's workers are forks too: see `with_forks`."""
    folders = [str(SITE), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, folders)), "LNT_TESTS_WARM": server()}


@functools.cache
def server() -> str:
    """The address of this test process's server, which ends with this process."""
    folder = tempfile.mkdtemp(prefix="lnt-warm-")
    atexit.register(shutil.rmtree, folder)
    address = f"{folder}/socket"
    program = [sys.executable, str(Path(__file__).with_name("server.py")), address]
    started = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _servers.append(started)
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n", "the server of warm processes did not start"
    return address
