"""A node that joins late, on a real Ray: what is wrong there, and where processes are placed."""

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from sweeps.driver.gate import start_gate
from sweeps.driver.ray_start import start_ray
from sweeps.nodes.facts import Asked
from sweeps.nodes.judge import Node
from sweeps.nodes.needs import Needs
from sweeps.resources import ResourcesConfig
from sweeps.worker.gate import NodeRefusedError, allowed_nodes, pass_gate

pytestmark = pytest.mark.sweep


@pytest.fixture(scope="module")
def node_id():
    """That of the one node of a Ray of this test's own."""
    start_ray(None)
    yield ray.get_runtime_context().get_node_id()
    ray.shutdown()


def gate_with(folder, *, examined: tuple[Node, ...] = (), paths: tuple[str, ...] = ()):
    """The gate of a sweep that wants these paths, and examined these nodes before it began."""
    seen = folder / "runs" / "sweep.yaml"
    seen.parent.mkdir()
    seen.touch()
    asked = Asked(str(folder / "cache"), storage=str(seen.parent), paths=paths)
    return start_gate(asked, Needs(uses_gpus=False), ResourcesConfig(), examined, seen)


def test_on_a_node_that_is_not_fit_no_process_is_placed(node_id, tmp_path) -> None:
    gate = gate_with(tmp_path, paths=("/nowhere/images",))
    assert allowed_nodes(gate) is None
    with pytest.raises(NodeRefusedError) as refused:
        pass_gate(gate)
    said = str(refused.value)
    assert said.startswith("No trial runs on ")
    assert ", which has joined the cluster: not there: /nowhere/images; give paths that" in said
    selector = allowed_nodes(gate)
    assert selector == {"ray.io/node-id": f"!in({node_id})"}
    elsewhere = placement_group([{"CPU": 1}], bundle_label_selector=[selector])
    anywhere = placement_group([{"CPU": 1}])
    assert anywhere.wait(timeout_seconds=60)
    assert not elsewhere.wait(timeout_seconds=1)
    for group in (elsewhere, anywhere):
        remove_placement_group(group)


def test_a_node_that_is_fit_or_was_examined_before_is_used(node_id, tmp_path) -> None:
    known = Node("known", trains=True, facts=None, id=node_id)
    for name, examined, paths in (("fit", (), ()), ("known", (known,), ("/nowhere/images",))):
        (tmp_path / name).mkdir()
        gate = gate_with(tmp_path / name, examined=examined, paths=paths)
        pass_gate(gate)
        assert allowed_nodes(gate) is None


def test_without_a_gate_every_node_is_used() -> None:
    pass_gate(None)
    assert allowed_nodes(None) is None
