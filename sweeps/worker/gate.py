"""What a process of a trial asks of the driver's gate: whether its node may run trials at all."""

from typing import Any

NODE_ID = "ray.io/node-id"
"""Ray's own label of a node."""


class NodeRefusedError(Exception):
    """No trial may run on the node of this process; the message is for the user."""


def pass_gate(gate: Any) -> None:
    """Return if trials may run on this node, which is examined if it has joined the sweep late.

    Args:
        gate: The actor of :func:`sweeps.driver.gate.start_gate`; None: no node can join.

    Raises:
        NodeRefusedError: They may not.
    """
    if gate is None:
        return
    import ray

    why = ray.get(gate.verdict.remote(ray.get_runtime_context().get_node_id()))
    if why:
        raise NodeRefusedError(why)


def allowed_nodes(gate: Any) -> dict[str, str] | None:
    """The selector of labels that keeps a process from nodes that were refused; None: no need."""
    if gate is None:
        return None
    import ray

    refused = ray.get(gate.refused.remote())
    return {NODE_ID: f"!in({','.join(refused)})"} if refused else None
