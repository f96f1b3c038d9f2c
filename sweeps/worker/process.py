"""The `Worker` of this process, and the memory that the process may use."""

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core.devices.memory import GIB, fence, total_gib
from sweeps.resources import ResourcesConfig
from sweeps.settings import quiet_transformers
from sweeps.worker.placement import num_workers_that_fit, worker_bundle

if TYPE_CHECKING:
    from lnt_core.worker import Worker


LOST_DEVICE = 70
"""Exit code of a process that can no longer use its GPU; Ray Tune starts another in its place."""
_workers: dict[tuple[str, str, float, int], "Worker"] = {}


def worker_for(resources: ResourcesConfig, cache: Path, device: str | None = None) -> "Worker":
    """The worker of this process, created on first use with the threads and device of one trial.

    Args:
        resources: Resources of one trial.
        cache: Folder of what sweeps share.
        device: A torch device. Default: ``cuda`` if trials get a GPU, else ``cpu``.
    """
    import torch

    from lnt_core.worker import Worker

    device = device or ("cuda" if resources.gpus_per_trial else "cpu")
    key = (str(cache), device, resources.feature_cache_gib, resources.loader_workers)
    if key not in _workers:
        gc.freeze()  # modules stay: no trial's garbage collection need look through them
        torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
        quiet_transformers()
        fence(device, resources.gpu_share)
        _workers[key] = Worker(
            cache,
            device=device,
            feature_cache_gib=resources.feature_cache_gib,
            loader_workers=resources.loader_workers,
        )
    return _workers[key]


def own_worker(resources: ResourcesConfig, cache: Path) -> "Worker":
    """The `Worker` of a process of a group, on the device that Ray Train gave it."""
    from ray.train.torch import get_device

    return worker_for(resources, cache, device=str(get_device()))


def memory_share_gib(resources: ResourcesConfig) -> float | None:
    """Memory that this process may use, in GiB; None if it is not known.

    With a GPU: the trial's share of the GPU's memory, or of `gpu_memory_gib` if that is less.
    Without: the memory that Ray counts for this node, divided by the number of processes that can
    train there at once. Unlike the memory that is free now, this does not depend on other trials.
    """
    if resources.gpus_per_trial:
        total = total_gib("cuda")
        return min(total, resources.gpu_memory_gib or total) * resources.gpu_share
    import ray

    if not ray.is_initialized():
        return None
    here = ray.get_runtime_context().get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == here)
    memory = node["Resources"].get("memory")
    return None if memory is None else memory / GIB / processes_at_once(resources, node)


def processes_at_once(resources: ResourcesConfig, node: dict[str, object]) -> int:
    """How many processes can train on a node at once, limited by `max_concurrent_trials`.

    Example:
        >>> node = {"Alive": True, "Resources": {"CPU": 8.0}}
        >>> processes_at_once(ResourcesConfig(cpus_per_trial=2), node)
        4
        >>> processes_at_once(ResourcesConfig(max_concurrent_trials=1), node)
        1
    """
    places = max(1, num_workers_that_fit(worker_bundle(resources), [node]))
    if resources.max_concurrent_trials is None:
        return places
    return min(places, resources.max_concurrent_trials * resources.most_workers)
