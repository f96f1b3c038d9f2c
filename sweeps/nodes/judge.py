"""Judges the facts of nodes against what a sweep needs: what is wrong, and what to do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sweeps.nodes.facts import REQUIRED, NodeFacts
from sweeps.nodes.gpus import gpu_problems, gpu_warnings
from sweeps.nodes.needs import Needs
from sweeps.plan.labels import counted

SHOWN = 4
"""Nodes that a message names; of more it says how many."""
SLOWER_IN_BF16 = 40
"""Measured on a CPU with AVX2 alone: 1.7 GFLOP/s in bf16, 68 in fp32."""
INSTALL = "pip install --constraint constraints.txt '.[deepspeed]' in lnt's repository"


@dataclass(frozen=True)
class Node:
    """A node of the cluster, as Ray and the node itself describe it."""

    name: str
    trains: bool
    """Whether a process of a trial has room here; others run the driver, or nothing."""
    facts: NodeFacts | None
    error: str = ""
    """Why there are no facts."""
    used: bool = True
    """Whether the sweep uses the node at all; one that it does not use may be as it likes."""
    cpus: float = 0.0
    """CPUs that Ray counts here."""
    gpus: float = 0.0
    """GPUs that Ray counts here."""
    gpus_in_use: float = 0.0
    """Of these, those that Ray has given to someone."""
    id: str = ""
    """Its id in Ray; empty for the machine of a driver."""


def problems(nodes: Sequence[Node], needs: Needs) -> list[str]:
    """What keeps the sweep from running on these nodes, a line each; the same of several in one."""
    found: dict[str, list[str]] = {}
    none_trains = not any(node.trains for node in nodes)
    nodes = [node for node in nodes if node.used or none_trains]
    for node in nodes:
        for text in _node_problems(node, needs):
            found.setdefault(text, []).append(node.name)
        if none_trains and needs.uses_gpus and node.facts:  # Ray may count no GPUs because of these
            for text in gpu_problems(node.facts, needs, counted_by_ray=0, in_use=False):
                found.setdefault(text, []).append(node.name)
    lines = [f"{_names(names)}: {text}" for text, names in found.items()]
    return lines + _unequal([node for node in nodes if node.facts], needs)


def warnings(nodes: Sequence[Node], needs: Needs) -> list[str]:
    """What may go wrong: trials that are predicted not to fit a GPU."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if node.facts and node.trains and needs.uses_gpus:
            for text in gpu_warnings(node.facts.driver.gpus, needs):
                found.setdefault(text, []).append(node.name)
    return [f"{_names(names)}: {text}" for text, names in found.items()]


def _names(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {counted(more, 'more node')}" if more > 0 else "")


def _node_problems(node: Node, needs: Needs) -> Iterator[str]:
    facts = node.facts
    if facts is None:
        yield node.error
        return
    if absent := [name for name in REQUIRED if name not in facts.versions]:
        yield f"not installed: {', '.join(absent)}; {INSTALL}"
    yield from facts.folder_problems
    if not node.trains:
        return
    yield from _core_problems(node, facts)
    if facts.missing:
        yield (
            f"not there: {', '.join(facts.missing)}; give paths that every node sees, and "
            "download models on every node or to a shared HF_HOME"
        )
    if needs.bf16_on_cpu and not facts.cpu_has_bf16:
        yield (
            "train.precision is bf16, but the CPU has no instructions for it (AVX512-BF16, AMX), "
            f"and so is {SLOWER_IN_BF16} times slower than in fp32: use fp32"
        )
    yield from _deepspeed_problems(facts, needs)
    if needs.compiles and not facts.has_compiler:
        yield f"{needs.compiles[0]} needs a C++ compiler, but {_no_compiler(facts)}"
    if needs.flash_attention and "flash-attn" not in facts.versions:
        yield (
            "model.attention is flash_attention_2, but flash-attn is not installed: pip install "
            "flash-attn --no-build-isolation, or leave model.attention out to use sdpa"
        )
    uses_gpus = needs.uses_gpus
    if uses_gpus is None:
        uses_gpus = node.gpus > 0 or bool(facts.driver.version or facts.driver.problem)
    if uses_gpus:
        yield from gpu_problems(facts, needs, counted_by_ray=node.gpus, in_use=node.gpus_in_use > 0)


def _core_problems(node: Node, facts: NodeFacts) -> Iterator[str]:
    if facts.cores < min(node.cpus, facts.cores_of_host):
        yield (
            f"Ray counts {node.cpus:g} CPUs, but is bound to {facts.cores} of the host's "
            f"{facts.cores_of_host} cores, which all trials would share: start Ray unbound (with "
            f"Slurm: srun --cpu-bind=none --cpus-per-task=N), or with --num-cpus={facts.cores}"
        )


def _no_compiler(facts: NodeFacts) -> str:
    return f"{facts.compiler!r} is not on the PATH: apt-get install g++, or set CXX"


def _deepspeed_problems(facts: NodeFacts, needs: Needs) -> Iterator[str]:
    if not needs.deepspeed or facts.deepspeed is None:
        return
    found = facts.deepspeed
    if "deepspeed" not in facts.versions:
        yield f"train.deepspeed is set, but deepspeed is not installed: {INSTALL}"
        return
    if found.error:
        yield f"deepspeed {facts.versions['deepspeed']} cannot be imported: {found.error}"
        return
    if found.incompatible:
        yield f"DeepSpeed says that this machine cannot have {', '.join(found.incompatible)}"
    if found.to_compile and not facts.has_compiler:
        what = ", ".join(found.to_compile)
        yield f"DeepSpeed has yet to compile {what}, but {_no_compiler(facts)}"
    if found.to_compile and not found.ninja:
        what = ", ".join(found.to_compile)
        yield (
            f"DeepSpeed has yet to compile {what}, but ninja is not on the PATH: pip install "
            "ninja, and start Ray (or `lnt run`) with the virtual environment activated"
        )


def _unequal(nodes: Sequence[Node], needs: Needs) -> list[str]:
    """Versions that are not the same on all nodes."""

    def public(name: str) -> Callable[[NodeFacts], str]:
        # `+cpu` and `+cu130` are builds of one version; nodes that train are compared below
        return lambda facts: facts.versions.get(name, "").partition("+")[0]

    compared: dict[str, Callable[[NodeFacts], str]] = {
        "Python": lambda facts: ".".join(facts.python.split(".")[:2]),
        "lnt's own code": lambda facts: facts.source,
    }
    compared |= {name: public(name) for name in REQUIRED}
    trains = [node for node in nodes if node.trains]
    lines = [_difference(what, nodes, of) for what, of in compared.items()]
    if needs.deepspeed:
        lines.append(_difference("deepspeed", trains, public("deepspeed")))
    if needs.uses_gpus or any(node.gpus for node in trains):
        having = [node for node in trains if needs.uses_gpus or node.gpus]
        lines.append(_difference("the CUDA of torch", having, lambda f: f.torch_cuda or "none"))
    return [line for line in lines if line]


def _difference(what: str, nodes: Sequence[Node], of: Callable[[NodeFacts], str]) -> str:
    """A line if nodes differ; a package that is not installed is reported elsewhere."""
    having: dict[str, list[str]] = {}
    for node in nodes:
        if node.facts and (version := of(node.facts)):
            having.setdefault(version, []).append(node.name)
    if len(having) < 2:
        return ""
    versions = "; ".join(f"{version} on {_names(names)}" for version, names in having.items())
    return f"{what} is not the same everywhere: {versions}. Install one version on all of them"
