"""Nodes in which nothing is wrong, to be changed in one thing."""

from dataclasses import replace
from typing import Any

from sweeps.nodes.facts import OPTIONAL, REQUIRED, NodeFacts
from sweeps.nodes.judge import Node
from sweeps.nodes.nvidia import Driver, Gpu

H100 = Gpu("NVIDIA H100", (9, 0), total_gib=80, free_gib=79)
DRIVER = Driver("580.95.05", (13, 0), (H100,))
FACTS = NodeFacts(
    host="a",
    python="3.11.7",
    versions=dict.fromkeys(REQUIRED, "1.0") | {"torch": "2.13.0", "deepspeed": "0.19.8"},
    source="0123456789ab",
    torch_cuda="13.0",
    torch_hip="",
    driver=DRIVER,
    cores=16,
    cores_of_host=16,
    cpu_has_bf16=True,
    compiler="c++",
    has_compiler=True,
    deepspeed=None,
    folder_problems=(),
    missing=(),
    free_gib={"cache": 100.0},
)
assert not set(OPTIONAL) & set(REQUIRED)


def node(name: str = "10.0.0.1", *, gpus: float = 1, in_use: float = 0, **changes: Any) -> Node:
    """A node that trains on one H100; ``changes`` are of its facts."""
    facts = replace(FACTS, **changes)
    return Node(name, trains=True, facts=facts, gpus=gpus, gpus_in_use=in_use)


def with_versions(**versions: str) -> dict[str, str]:
    return FACTS.versions | versions
