"""Facts of this machine, and of machines with other drivers, packages and folders."""

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest

from sweeps.nodes.facts import OPTIONAL, REQUIRED, Asked, gather, source_hash
from tests.nvml import fake_driver, fake_packages, fake_torch

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[3]
GATHER = (
    "import json, sys; from sweeps.nodes.facts import Asked, gather\n"
    "found = gather(Asked(**json.loads(sys.argv[1])))\n"
    "print(json.dumps(found | {'imported': sorted({'torch', 'deepspeed'} & set(sys.modules))}))"
)


def gathered(asked: Asked, **environment: str) -> dict:
    """What another process gathers, in an environment with these changes."""
    command = [sys.executable, "-c", GATHER, json.dumps(asdict(asked))]
    # the fakes come first, as the packages of another node would
    path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), str(ROOT))))
    env = os.environ | environment | {"PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_this_machine_as_it_is(tmp_path) -> None:
    there = tmp_path / "annotations.json"
    there.touch()
    asked = Asked(
        str(tmp_path / "cache"),
        paths=(str(there), str(tmp_path / "images")),
        models=("nobody/no-such-model",),
    )
    found = gathered(asked)
    import torch

    assert found["versions"]["torch"] == version("torch")
    assert found["torch_cuda"] == (torch.version.cuda or "")
    assert found["missing"] == [str(tmp_path / "images"), "nobody/no-such-model"]
    assert found["folder_problems"] == []
    assert found["has_compiler"]
    assert found["free_gib"]["cache"] > 0
    assert found["imported"] == []
    assert found["source"] == source_hash()


def test_a_driver_and_packages_of_another_node(tmp_path) -> None:
    environment = fake_driver(tmp_path / "driver", DRIVER='"570.86.15"', CUDA=12080, COUNT=2)
    environment |= fake_packages(tmp_path / "packages", transformers="5.1.0")
    environment |= fake_torch(tmp_path / "packages", "2.13.0", cuda="13.0")
    found = gathered(Asked(str(tmp_path)), **environment)
    gpu = {"name": "NVIDIA H100 80GB HBM3", "capability": [9, 0], "total_gib": 80, "free_gib": 79}
    assert found["driver"] == {
        "version": "570.86.15",
        "cuda": [12, 8],
        "gpus": [gpu, gpu],
        "problem": "",
    }
    assert (found["versions"]["transformers"], found["torch_cuda"]) == ("5.1.0", "13.0")


def test_instances_of_a_divided_gpu_count_each(tmp_path) -> None:
    found = gathered(Asked(str(tmp_path)), **fake_driver(tmp_path / "driver", MIG=1))
    gpus = found["driver"]["gpus"]
    assert [(gpu["name"][-6:], gpu["total_gib"]) for gpu in gpus] == [("MIG 3g", 40)] * 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"INIT": 18},
            {"version": "", "problem": "RM has detected an NVML/RM version mismatch."},
        ),
        ({"CUDA": 0}, {"version": "580.95.05", "problem": "", "cuda": None}),
    ],
    ids=["a library of another version than the kernel's module", "no libcuda"],
)
def test_a_driver_that_does_not_work(changes, expected, tmp_path) -> None:
    found = gathered(Asked(str(tmp_path)), **fake_driver(tmp_path / "driver", **changes))
    assert found["driver"] | expected == found["driver"]


def test_a_storage_that_is_not_the_drivers(tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    storage = tmp_path / "elsewhere"
    found = gather(Asked(str(file), storage=str(storage), marker=str(storage / ".lnt-check")))
    assert list(found["folder_problems"]) == [
        f"the cache {file} (LNT_CACHE) cannot be written: {file} is not a folder",
        f"tracking.storage is {storage}, where a file that the driver has just written is not "
        "seen: mount the same shared folder there on every node",
    ]
    seen = gather(Asked(str(tmp_path), storage=str(tmp_path), marker=str(file)))
    assert seen["folder_problems"] == ()


def test_a_compiler_that_is_not_there(tmp_path) -> None:
    found = gathered(Asked(str(tmp_path)), CXX="no-such-compiler")
    assert (found["compiler"], found["has_compiler"]) == ("no-such-compiler", False)


def test_every_dependency_is_compared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]]
    assert list(REQUIRED) == named
    assert "deepspeed" in OPTIONAL
