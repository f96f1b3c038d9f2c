"""Asks every node of the Ray cluster for its facts, before anything is trained there."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from lnt_core.errors import ConfigError
from sweeps.config import SweepConfig
from sweeps.driver.ray_start import start_ray, wait_for_room
from sweeps.driver.stages_1 import to_train_before
from sweeps.nodes.facts import Asked, NodeFacts, gather
from sweeps.nodes.judge import Node, problems, warnings
from sweeps.nodes.needs import Needs, asked_for, needs_of
from sweeps.plan.checks import check_sweep
from sweeps.plan.planned import Plan, plan
from sweeps.resources import ResourcesConfig
from sweeps.settings import Settings
from sweeps.worker.placement import num_workers_that_fit, worker_bundle

if TYPE_CHECKING:
    import ray


ANSWER_S = 180.0
"""Seconds that a node has to start a process, import DeepSpeed if a trial uses it, and answer."""
HEAD = "node:__internal_head__"
"""Ray's resource of the node that runs drivers of jobs, and supervises distributed trials."""


@dataclass(frozen=True)
class Examination:
    """The nodes of a cluster, and what is wrong there."""

    nodes: list[Node]
    problems: list[str]
    warnings: list[str]


def examine(sweep: SweepConfig | None, settings: Settings, address: str | None) -> Examination:
    """Examine every node, but start nothing; for `lnt doctor`.

    Args:
        sweep: A sweep, whose needs are checked; None: what is wrong for any sweep.
        settings: Read from the environment.
        address: Address of a running Ray cluster; None examines this machine.

    Raises:
        ConfigError: The sweep is invalid, or there is no cluster at the address.
        AccessError: The cluster refuses access.
    """
    cache = str(settings.cache.resolve())
    if sweep is None:
        asked, needs = Asked(cache), Needs()
        here = gather(asked)
        start_ray(address)
        nodes = ask_nodes(asked, ResourcesConfig(), here, local=address is None)
        return Examination(nodes, problems(nodes, needs), warnings(nodes, needs))
    check_sweep(sweep)
    planned, asked = planned_on_gpus(sweep), asked_for(sweep, cache)
    here = gather(asked)
    start_ray(address)
    return examine_nodes(sweep, planned, asked, here, address)


def examine_nodes(
    sweep: SweepConfig,
    planned: Plan,
    asked: Asked,
    here: dict[str, Any],
    address: str | None,
) -> Examination:
    """Examine every node of the Ray cluster that this process is connected to, for a sweep.

    Waits until a trial fits, as long as the sweep allows.

    Args:
        sweep: The sweep.
        planned: Its plan; may be empty if trials use no GPU.
        asked: What nodes are asked for.
        here: What `gather` returned in this process.
        address: Address of the cluster; None if this process has started Ray.
    """
    resources, found = sweep.resources, []
    try:
        before = to_train_before(sweep, Path(asked.cache))
        stage_1 = max((stage.num_workers for stage in before), default=0)
        trial, grows = resources.most_workers, address is not None
        wait_for_room(resources, grows=grows, trial=trial, stage_1=stage_1)
    except ConfigError as error:  # what is wrong with the nodes may say why
        found.append(str(error))
    nodes = ask_nodes(asked, resources, here, local=address is None)
    needs = needs_of(sweep, planned)
    told = resources.gpu_memory_gib is not None  # by the plan, for the memory given there
    return Examination(
        nodes, found + problems(nodes, needs), [] if told else warnings(nodes, needs)
    )


def planned_on_gpus(sweep: SweepConfig) -> Plan:
    """The plan, if trials use GPUs or the memory of one is given; it takes seconds to predict."""
    resources = sweep.resources
    needed = resources.gpus_per_trial or resources.gpu_memory_gib
    return plan(sweep) if needed else Plan([], [])


def ask_nodes(
    asked: Asked, resources: ResourcesConfig, here: dict[str, Any], *, local: bool
) -> list[Node]:
    """The nodes of the Ray cluster that this process is connected to, with their facts.

    Nodes that join later: see :mod:`sweeps.driver.gate`.

    Args:
        asked: What they are asked for.
        resources: Resources of a process of a trial.
        here: What `gather` returned in this process.
        local: Whether this process has started Ray, so that there is no other node.
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    if local:
        return [_node(node, "this machine", resources, here) for node in alive]
    with _marker(asked) as marked:
        answers = _answers([node["NodeID"] for node in alive], marked)
    nodes = [_node(node, _name(node), resources, answers[node["NodeID"]]) for node in alive]
    return [Node("the driver", trains=False, facts=_facts(here)), *nodes]


def ask_node(node_id: str, asked: Asked, resources: ResourcesConfig) -> Node:
    """One node of the cluster, with its facts.

    Args:
        node_id: Its id in Ray.
        asked: What it is asked for.
        resources: Resources of a process of a trial.
    """
    import ray

    (node,) = [node for node in ray.nodes() if node["NodeID"] == node_id]
    return _node(node, _name(node), resources, _answers([node_id], asked)[node_id])


@contextlib.contextmanager
def _marker(asked: Asked) -> Iterator[Asked]:
    """Within this context, the storage has a file that nodes look for."""
    if not asked.storage:
        yield asked
        return
    Path(asked.storage).mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=asked.storage, prefix=".lnt-check-") as file:
        yield replace(asked, marker=file.name)


def _answers(ids: list[str], asked: Asked) -> dict[str, Any]:
    """What each node answered, or why it did not, by the node's id."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(gather)
    asking: dict[str, ray.ObjectRef[Any]] = {
        id: task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=id, soft=False)
        ).remote(asked)
        for id in ids
    }
    ready, late = ray.wait(list(asking.values()), num_returns=len(asking), timeout=ANSWER_S)
    for reference in late:
        ray.cancel(reference, force=True)
    return {id: _answer(reference, reference in ready) for id, reference in asking.items()}


def _answer(reference: "ray.ObjectRef[Any]", ready: bool) -> dict[str, Any] | str:
    import ray

    if not ready:
        return f"no answer within {ANSWER_S:g} s"
    try:
        found: dict[str, Any] = ray.get(reference)
    except ray.exceptions.RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"cannot run lnt there: {lines[-1]}"
    return found


def _node(
    node: dict[str, Any], name: str, resources: ResourcesConfig, answer: dict[str, Any] | str
) -> Node:
    from ray._private.state import available_resources_per_node

    has = node["Resources"]
    free = available_resources_per_node().get(node["NodeID"], {})
    trains = num_workers_that_fit(worker_bundle(resources), [node]) > 0
    made = Node(
        name,
        trains=trains,
        facts=None,
        used=trains or HEAD in has,
        cpus=has.get("CPU", 0.0),
        gpus=has.get("GPU", 0.0),
        gpus_in_use=has.get("GPU", 0.0) - free.get("GPU", 0.0),
        id=node["NodeID"],
    )
    if isinstance(answer, str):
        return replace(made, error=answer)
    try:
        return replace(made, facts=_facts(answer))
    except ValidationError:
        return replace(made, error="it runs another version of lnt: install this one there")


def _facts(answer: dict[str, Any]) -> NodeFacts:
    return TypeAdapter(NodeFacts).validate_python(answer)


def _name(node: dict[str, Any]) -> str:
    return str(node["NodeManagerAddress"])
