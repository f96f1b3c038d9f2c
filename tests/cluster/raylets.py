"""A Ray cluster of several nodes on one machine, each killable: raylets on 127.0.0.2, .3, ..."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import psutil

from cluster.jobs import ENDED
from tests import warm
from tests.servers import HANG_S, free_ports, wait_for

RAY = str(Path(sys.executable).parent / "ray")
LNT = str(Path(sys.executable).parent / "lnt")
TOKEN = "0123456789abcdef" * 4
BEARER = {"Authorization": f"Bearer {TOKEN}"}
OUR_TOKEN_NAMES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "HOME")


class Cluster:
    """A head without CPUs for trials, and nodes that have some.

    Args:
        folder: For logs and the token.
        environment: Of every node, as a machine's own settings.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        behind_token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        # as where the virtual environment is active: a job runs the `python` of the PATH
        path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self._environment = os.environ | warm.of_workers() | path | behind_token | environment
        self._nodes: dict[str, subprocess.Popen] = {}
        self.address = ""

    def start_head(self, *, num_cpus: int = 0) -> None:
        """`ray start --head` on new ports."""
        port, dashboard, agent = free_ports(3)
        self.gcs = f"127.0.0.2:{port}"
        """What `lnt run --address` takes."""
        self.address = f"http://127.0.0.1:{dashboard}"
        self._start(
            "127.0.0.2",
            "--head",
            f"--port={port}",
            f"--dashboard-port={dashboard}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-agent-listen-port={agent}",
            f"--num-cpus={num_cpus}",
            f"--temp-dir=/tmp/r{port}",  # a socket's name must be short
        )
        wait_for(f"{self.address}/api/version", self._log("127.0.0.2"), headers=BEARER)

    def add_node(
        self,
        ip: str,
        *,
        num_cpus: int = 1,
        num_gpus: int = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
        without: Path | None = None,
    ) -> None:
        """Another raylet; returns before it has joined.

        Args:
            ip: Its address.
            num_cpus: CPUs for trials.
            num_gpus: GPUs that Ray is told to count.
            environment: What differs in this node's own settings.
            without: A folder that the others see and this node does not: another is mounted there.
        """
        (agent,) = free_ports(1)
        hide = 'mount -t tmpfs none "$0" && exec "$@"'
        self._start(
            ip,
            f"--address={self.gcs}",
            f"--num-cpus={num_cpus}",
            f"--num-gpus={num_gpus}",
            f"--dashboard-agent-listen-port={agent}",
            # two nodes never share one: each clears what its own jobs no longer need
            f"--temp-dir=/tmp/n{agent}",
            environment=environment,
            through=["unshare", "-m", "sh", "-c", hide, str(without)] if without else [],
        )

    def kill_raylet(self, ip: str) -> None:
        """kill -9 of the raylet alone: what it had started must notice by itself."""
        (raylet,) = [p for p in self._processes(ip) if p.name() == "raylet"]
        raylet.kill()
        self._nodes.pop(ip).wait(timeout=HANG_S)

    def kill_node(self, ip: str) -> None:
        """kill -9 of everything there at once, as when a machine loses its power."""
        doomed = [*self._processes(ip), psutil.Process(self._nodes[ip].pid)]
        for process in doomed:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._nodes.pop(ip).wait()

    def kill_head(self) -> None:
        """The head, and with it the driver; the nodes lose their cluster."""
        self.kill_node("127.0.0.2")

    def close(self) -> None:
        """Nothing is left running."""
        for ip in list(self._nodes):
            self.kill_node(ip)

    def driver(self) -> psutil.Process:
        """Of the job that runs on the head."""
        found = [p for p in self._processes("127.0.0.2") if _has(p, "sweeps.cli", "run")]
        return min(found, key=lambda p: p.create_time())

    def trial_processes(self) -> list[psutil.Process]:
        """Workers that run trials."""
        everyone = [p for ip in self._nodes for p in self._processes(ip)]
        return [p for p in everyone if _has(p, "ray::ImplicitFunc")]

    def lnt(self, *argv: str, token: str | None = TOKEN, **environment: str):
        """Run `lnt` as a client elsewhere would: by the address and the token alone."""
        ours = {k: v for k, v in os.environ.items() if k not in OUR_TOKEN_NAMES}
        ours |= {"HOME": str(self._folder / "home")} | environment  # no ~/.ray/auth_token there
        if token is not None:
            ours["RAY_AUTH_TOKEN"] = token
        command = [LNT, *argv, "--address", self.address]
        return warm.run(command, env=ours)

    def submit(self, sweep: Path, *argv: str, **environment: str) -> str:
        """Returns the job's id; the variables are passed on to it."""
        passed = [part for name in environment for part in ("--env", name)]
        done = self.lnt("submit", str(sweep), *passed, *argv, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def wait_for_job(self, job: str) -> str:
        """Until it ends; returns how, as `lnt status` says it."""
        until = time.monotonic() + HANG_S
        asked = urllib.request.Request(f"{self.address}/api/jobs/{job}", headers=BEARER)
        while True:  # a process a second that asks would take half a core from the trials
            with urllib.request.urlopen(asked, timeout=60) as answer:
                if json.load(answer)["status"] in ENDED:
                    break
            assert time.monotonic() < until, self.lnt("logs", job).stdout[-5000:]
            time.sleep(1)
        said = self.lnt("status", job)
        return said.stdout + said.stderr

    def _start(
        self,
        ip: str,
        *argv: str,
        environment: Mapping[str, str] = MappingProxyType({}),
        through: Sequence[str] = (),
    ) -> None:
        command = [*through, RAY, "start", "--block", "--disable-usage-stats"]
        command.append(f"--node-ip-address={ip}")
        # a fork would see the folders of the test process
        cold = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} if through else {}
        with self._log(ip).open("ab") as log:
            self._nodes[ip] = subprocess.Popen(
                [*command, *argv],
                env=self._environment | cold | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log(self, ip: str) -> Path:
        return self._folder / f"{ip}.log"

    def _processes(self, ip: str) -> list[psutil.Process]:
        return warm.with_forks(psutil.Process(self._nodes[ip].pid))


def _has(process: psutil.Process, *words: str) -> bool:
    try:
        line = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    return all(any(part.startswith(word) for part in line) for word in words)


def kill(process: psutil.Process) -> None:
    """kill -9."""
    os.kill(process.pid, signal.SIGKILL)
