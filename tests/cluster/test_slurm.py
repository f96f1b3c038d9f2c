"""cluster/slurm/sweep.sbatch under a real Slurm of one node."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.cluster.sweeps import CHANGES
from tests.micro import outcome
from tests.servers import HANG_S, free_ports

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("slurmctld") is None,
        reason="wants Slurm and root (.ci/run installs it)",
    ),
]
SCRIPT = Path(__file__).parents[2] / "cluster" / "slurm" / "sweep.sbatch"
CONFIG = """
ClusterName=lnt
SlurmctldHost={host}
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
GresTypes=gpu
NodeName={host} CPUs=2 Gres=gpu:1 CpuBind=core State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """sbatch, scancel and what became of a job."""

    def __init__(self, folder: Path) -> None:
        self._environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def __call__(self, *command: str, **environment: str) -> str:
        done = subprocess.run(
            command, env=self._environment | environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, job: str) -> str:
        """Until the job has ended; returns its exit code."""
        until = time.monotonic() + 240
        while True:
            shown = self("scontrol", "show", "job", job)
            fields = dict(word.partition("=")[::2] for word in shown.split())
            if fields["JobState"] not in ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING"):
                return fields["ExitCode"]
            assert time.monotonic() < until, shown
            time.sleep(1)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    controller, node = free_ports(2)
    host = socket.gethostname().partition(".")[0]
    config = CONFIG.format(host=host, controller=controller, node=node, folder=folder)
    (folder / "slurm.conf").write_text(config)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/zero\n")  # a GPU, to Slurm
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    log = (folder / "log").open("ab")
    munge = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket"]
    munge += [f"--key-file={key}", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    daemons = []
    for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D"]):
        daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        time.sleep(2)
        assert daemons[-1].poll() is None, (folder / "log").read_text()
    yield Slurm(folder)
    for daemon in reversed(daemons):
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(timeout=HANG_S)


def raylet_of(job: str) -> psutil.Process:
    """The process that starts the trials of a job's node."""
    (found,) = [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "raylet" and process.environ().get("SLURM_JOB_ID") == job
    ]
    return found


def test_a_sweep_is_cut_short_at_the_limit_and_goes_on(
    slurm, tmp_path, cache, micro, local
) -> None:
    tracking = {"uri": f"sqlite:///{tmp_path}/m.db", "storage": str(tmp_path / "runs")}
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(micro | CHANGES | {"name": "s", "tracking": tracking}))
    venv = str(Path(sys.executable).parents[1])
    environment = {"SWEEP": str(file), "LNT": venv, "LNT_CACHE": str(cache)}
    command = ["sbatch", "--parsable", "--nodes=1", "--cpus-per-task=2"]
    command += [f"--output={tmp_path}/%j.log", str(SCRIPT)]
    job = slurm(*command, **environment).strip()
    assert re.search(r"TresPerNode=\S*gpu:1\b", slurm("scontrol", "show", "job", job))
    until = time.monotonic() + HANG_S
    while not list(tmp_path.glob("runs/s/*/trials/*/events.jsonl")):
        assert time.monotonic() < until, list(tmp_path.glob("*.log"))
        time.sleep(0.1)
    node = raylet_of(job)
    assert len(node.cpu_affinity()) == 2, "all trials are bound to one core"
    assert re.search(r"\bGPU,1\b", " ".join(node.cmdline()))
    slurm("scancel", "--signal=TERM", "--batch", job)  # as Slurm does before a time limit
    assert slurm.wait(job) == "143:0"
    again = slurm(*command, **environment, RESUME="1").strip()
    assert slurm.wait(again) == "0:0", (tmp_path / f"{again}.log").read_text()
    ended = [path.parent for path in tmp_path.glob("runs/s/*/trials/*/result.json")]
    assert outcome(ended) == local.outcome()
    assert len(list(tmp_path.glob("runs/s/*"))) == 1
