"""Judges nodes that join a running sweep, before the first trial there."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.driver.nodes import ask_node
from sweeps.driver.ray_start import beside_driver
from sweeps.nodes.facts import Asked
from sweeps.nodes.judge import Node, problems
from sweeps.nodes.needs import Needs
from sweeps.resources import ResourcesConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE = 1000
"""Processes that may wait for an answer at once; more wait until others have one."""


class Gate:
    """Says whether trials may run on a node; a Ray actor, which every process of a trial asks.

    Args:
        asked: What a node is asked for.
        needs: What trials need.
        resources: Resources of a process of a trial.
        nodes: Those that were examined before the sweep began.
    """

    def __init__(
        self, asked: Asked, needs: Needs, resources: ResourcesConfig, nodes: "Sequence[Node]"
    ) -> None:
        self._asked, self._needs, self._resources = asked, needs, resources
        self._nodes = list(nodes)
        self._verdicts = {node.id: "" for node in nodes}
        self._one_at_a_time = threading.Lock()

    def verdict(self, node_id: str) -> str:
        """Why no trial may run on the node with this id in Ray; empty if trials may.

        A node is examined once, when the first process asks; others wait for the answer.
        """
        with self._one_at_a_time:
            if node_id not in self._verdicts:
                self._verdicts[node_id] = self._judged(node_id)
        return self._verdicts[node_id]

    def refused(self) -> list[str]:
        """The ids of the nodes that trials must not use; does not wait."""
        return [node_id for node_id, why in list(self._verdicts.items()) if why]

    def _judged(self, node_id: str) -> str:
        node = ask_node(node_id, self._asked, self._resources)
        # the process that asks holds its share already, and waits with all that it needs
        others = max(0.0, node.gpus_in_use - self._resources.gpus_per_trial)
        node = replace(node, gpus_in_use=others)
        lines = problems([*self._nodes, node], self._needs)
        if not lines:
            self._nodes.append(node)
            return ""
        why = "; ".join(line.removeprefix(f"{node.name}: ") for line in lines)
        return f"No trial runs on {node.name}, which has joined the cluster: {why}"


def start_gate(
    asked: Asked, needs: Needs, resources: ResourcesConfig, nodes: "Sequence[Node]", seen: Path
) -> Any:
    """The gate as a Ray actor, which lives on the driver's node as long as the driver.

    Args:
        asked: What a node is asked for.
        needs: What trials need.
        resources: Resources of a process of a trial.
        nodes: Those that were examined before the sweep began.
        seen: A file in the storage, which every node must see.
    """
    import ray

    actor = ray.remote(Gate).options(
        num_cpus=0, max_concurrency=AT_ONCE, scheduling_strategy=beside_driver()
    )
    return actor.remote(replace(asked, marker=str(seen)), needs, resources, nodes)
