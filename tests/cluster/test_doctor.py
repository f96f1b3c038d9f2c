"""`lnt doctor` on this machine, and on nodes in each of which something else is wrong."""

import os
import subprocess
import time

import pytest
import yaml

from tests.cluster.conftest import running
from tests.cluster.raylets import LNT, TOKEN, Cluster
from tests.nvml import fake_driver, fake_packages, fake_torch
from tests.servers import HANG_S

pytestmark = pytest.mark.cluster


def lnt(*argv: str, cwd, **environment: str) -> subprocess.CompletedProcess:
    environment = os.environ | environment
    return subprocess.run([LNT, *argv], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def odd_nodes(tmp_path):
    """A head, a node with other packages and without the storage, a node with an old driver."""
    with running(Cluster(tmp_path / "nodes")) as cluster:
        cluster.start_head()
        other = fake_packages(tmp_path / "other", transformers="5.1.0")
        (tmp_path / "shared").mkdir()
        cluster.add_node("127.0.0.3", environment=other, without=tmp_path / "shared")
        driver = fake_driver(tmp_path / "driver", DRIVER='"570.86.15"', CUDA=12080)
        built = fake_torch(tmp_path / "torch", "2.13.0", cuda="13.0")
        cluster.add_node("127.0.0.4", num_gpus=1, environment=driver | built)
        yield cluster


def told(done: subprocess.CompletedProcess) -> list[str]:
    """The lines that say what is wrong."""
    return [line.removeprefix("Wrong: ").strip() for line in done.stdout.splitlines()]


def test_nothing_is_wrong_on_this_machine(tmp_path) -> None:
    """Bound to one core, of which Ray then counts one."""
    core = str(min(os.sched_getaffinity(0)))
    command = ["taskset", "--cpu-list", core, LNT, "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "No problem found."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="hiding a folder from a node wants root")
def test_each_node_says_what_is_wrong_there(odd_nodes, micro, tmp_path, cache) -> None:
    place = {"uri": f"sqlite:///{tmp_path}/mlflow.db", "storage": str(tmp_path / "shared" / "runs")}
    content = micro | {"tracking": place}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    on_gpus = content | {"resources": {"gpus_per_trial": 1}}
    (tmp_path / "gpus.yaml").write_text(yaml.safe_dump(on_gpus))
    at = ["--address", odd_nodes.gcs]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "LNT_CACHE": str(cache)}
    until = time.monotonic() + HANG_S
    done = lnt("doctor", *at, cwd=tmp_path, **token)
    while not all(f"\n{ip} " in done.stdout for ip in ("127.0.0.3", "127.0.0.4")):
        assert time.monotonic() < until, done.stdout + done.stderr
        done = lnt("doctor", *at, cwd=tmp_path, **token)
    old_driver = (
        "127.0.0.4: NVIDIA driver 570.86.15 supports CUDA 12.8 at most, but torch 2.13.0 (CUDA "
        "13.0) needs driver 580 or newer: install it, or a torch that is built for CUDA 12 "
        "(https://pytorch.org/get-started/locally)"
    )
    assert done.returncode == 2, done.stderr
    assert old_driver in told(done)
    assert any("transformers is not the same everywhere" in line for line in told(done))
    assert len(done.stdout.splitlines()) < 24, "more than a screen"

    done = lnt("doctor", "sweep.yaml", *at, cwd=tmp_path, **token)
    unseen = (
        f"127.0.0.3: tracking.storage is {place['storage']}, where a file that the driver has "
        "just written is not seen: mount the same shared folder there on every node"
    )
    assert done.returncode == 2
    assert unseen in told(done)
    assert old_driver not in told(done), "trials on CPUs need no driver"

    done = lnt("run", "gpus.yaml", *at, cwd=tmp_path, **token)
    assert done.returncode == 2
    lines = [line.strip() for line in done.stderr.splitlines()]
    # of the node with other packages the sweep needs nothing: it has no GPU
    assert lines == [f"lnt: the nodes of {odd_nodes.gcs}: 1 problem", old_driver]
    assert list((tmp_path / "shared" / "runs").iterdir()) == []
