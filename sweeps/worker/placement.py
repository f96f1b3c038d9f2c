"""The Ray resources of a trial, and how many trials fit at once."""

import math
from typing import TYPE_CHECKING, Any

from sweeps.config import SweepConfig
from sweeps.plan.base import base_config
from sweeps.resources import ResourcesConfig
from sweeps.worker.context import BASE_ID, REPORT, STAGE_1, TRIAL_KEY, Context
from sweeps.worker.gate import allowed_nodes

if TYPE_CHECKING:
    from ray import tune


SUPERVISOR = {"node:__internal_head__": 0.001}
"""Bundle of the process that supervises a distributed trial: almost nothing, on the head node. The
trial's workers have a placement group of their own."""


def placement_of(context: Context, tune_config: dict[str, Any]) -> "tune.PlacementGroupFactory":
    """The placement group of the trial that a config of Ray Tune names."""
    from ray import tune

    name = tune_config[TRIAL_KEY]
    if name == BASE_ID:
        is_group = base_config(context.sweep)[1] > 0
    elif name.startswith(STAGE_1):
        is_group = True
    elif name.startswith(REPORT):
        is_group = False
    else:
        is_group = context.trial(tune_config).config.train.deepspeed is not None
    if is_group:
        return tune.PlacementGroupFactory([SUPERVISOR])
    bundle, allowed = worker_bundle(context.sweep.resources), allowed_nodes(context.gate)
    options = {} if allowed is None else {"bundle_label_selector": [allowed]}
    return tune.PlacementGroupFactory([bundle], **options)


def worker_bundle(resources: ResourcesConfig) -> dict[str, float]:
    """The bundle of one training process."""
    wanted = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    return {kind: number for kind, number in wanted.items() if number}


def max_concurrent_trials(sweep: SweepConfig) -> int | None:
    """How many trials Ray Tune may run at once; None if only their resources limit it.

    The supervising process of a distributed trial takes almost no resources, so Ray Tune would
    start all trials at once, and most would wait for workers. Such a sweep is limited to the number
    of single workers that fit on the nodes now.
    """
    import ray

    resources = sweep.resources
    if resources.max_concurrent_trials is not None or not sweep.is_distributed:
        return resources.max_concurrent_trials
    return max(1, num_workers_that_fit(worker_bundle(resources), ray.nodes()))


def num_workers_that_fit(bundle: dict[str, float], nodes: list[dict[str, Any]]) -> int:
    """How many workers with this bundle fit on the nodes that are alive.

    Example:
        >>> node = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}
        >>> num_workers_that_fit({"CPU": 3, "GPU": 1}, [node, node])
        4
    """
    return sum(
        math.floor(min(node["Resources"].get(kind, 0) / number for kind, number in bundle.items()))
        for node in nodes
        if node["Alive"]
    )
