"""What Ray must have free for a trial to start."""

import math
from typing import TYPE_CHECKING, Any

from sweeps.config import SweepConfig
from sweeps.resources import ResourcesConfig
from sweeps.worker.context import Context

if TYPE_CHECKING:
    from ray import tune


SUPERVISOR = {"node:__internal_head__": 0.001}
"""What a trial of several workers takes itself: next to nothing, and on the head. Its workers ask
for their own room, all at once."""


def placement_of(context: Context, tune_config: dict[str, Any]) -> "tune.PlacementGroupFactory":
    """The placement group of the trial that Ray Tune's config names."""
    from ray import tune

    if context.trial(tune_config).config.train.deepspeed is not None:
        return tune.PlacementGroupFactory([SUPERVISOR])
    bundle = worker_bundle(context.sweep.resources)
    return tune.PlacementGroupFactory([bundle])


def worker_bundle(resources: ResourcesConfig) -> dict[str, float]:
    """Of one process that trains."""
    wanted = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    return {kind: number for kind, number in wanted.items() if number}


def max_concurrent_trials(sweep: SweepConfig) -> int | None:
    """How many trials Ray Tune may start; None leaves it to what they take.

    Those of several workers take nothing of their own, so that all would start at once and wait:
    as many are let start as there is room for single workers now.
    """
    import ray

    resources = sweep.resources
    if resources.max_concurrent_trials is not None or not sweep.is_distributed:
        return resources.max_concurrent_trials
    return max(1, num_workers_that_fit(worker_bundle(resources), ray.nodes()))


def num_workers_that_fit(room: dict[str, float], nodes: list[dict[str, Any]]) -> int:
    """How many workers the living nodes hold.

    Example:
        >>> node = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}
        >>> num_workers_that_fit({"CPU": 3, "GPU": 1}, [node, node])
        4
    """
    return sum(
        math.floor(min(node["Resources"].get(kind, 0) / number for kind, number in room.items()))
        for node in nodes
        if node["Alive"]
    )
