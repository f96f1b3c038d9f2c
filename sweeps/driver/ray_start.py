"""Starts Ray or connects to a Ray cluster, and waits until a trial fits there."""

import contextlib
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any

from lnt_core.errors import AccessError, ConfigError
from sweeps import signals
from sweeps.driver.ray_patches import patch_tune
from sweeps.nodes.facts import usable_cores
from sweeps.plan.labels import counted
from sweeps.worker.placement import num_workers_that_fit, worker_bundle

if TYPE_CHECKING:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from sweeps.resources import ResourcesConfig


POLL_S = 1.0
"""Seconds between two looks at the cluster's nodes."""


def start_ray(address: str | None) -> None:
    """Start Ray on this machine or connect to a cluster.

    Args:
        address: Address of a running cluster; None starts Ray on this machine.

    Raises:
        ConfigError: There is no cluster at the address, or Ray does not start on this machine.
        AccessError: The cluster requires a token, or rejects the given one.
    """
    import logging

    import ray

    has_port = address is not None and re.fullmatch(r"[^/]+:\d+", address) is not None
    if has_port and not _listens(str(address)):  # Ray itself would try for minutes
        raise ConfigError(f"no Ray cluster listens at {address} (--address)")
    # Ray's start on this machine is not interrupted halfway; a cluster may not answer for minutes.
    whole = signals.held() if address is None else contextlib.nullcontext()
    try:
        with whole, signals.children_apart():
            ray.init(
                # with None, Ray would look for an earlier cluster of this machine and wait for it
                address=address or "local",
                num_cpus=_bound_cores() if address is None else None,
                include_dashboard=False if address is None else None,
                ignore_reinit_error=True,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except ray.exceptions.AuthenticationError:
        raise _no_access(address) from None
    except Exception as error:  # Ray's are of many classes, bare ones among them
        if address is None:
            raise ConfigError(
                f"Ray does not start on this machine: {_first_line(error)}. A busy machine may be "
                "too slow for it: try again. What it logged is in session_latest/logs of Ray's "
                "folder, /tmp/ray by default"
            ) from error
        if not isinstance(error, ConnectionError):
            raise
        if has_port:  # the token is rejected
            raise _no_access(address) from None
        raise ConfigError(f"no Ray cluster answers at {address}: {_first_line(error)}") from None
    # Failed snapshots of Ray Tune need no message: they are never restored.
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
    patch_tune()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def beside_driver() -> "NodeAffinitySchedulingStrategy":
    """Places an actor on the driver's node: no other node that is lost takes it along."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _bound_cores() -> int | None:
    """The cores that this process is bound to, which Ray does not see; None if it may use all."""
    cores = usable_cores()
    return cores if cores < (os.cpu_count() or 1) else None


def _no_access(address: str | None) -> AccessError:
    return AccessError(
        f"the Ray cluster at {address} requires a token, or rejects the given one: set "
        "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to the token or RAY_AUTH_TOKEN_PATH to a file "
        "that contains it"
    )


def _listens(address: str) -> bool:
    """Whether a process accepts connections at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return True
    except OSError:
        return False


def wait_for_room(
    resources: "ResourcesConfig", *, grows: bool, trial: int, stage_1: int = 0
) -> None:
    """Wait until all workers of a trial fit, and those of stage 1, which are not there together.

    Nodes are requested, because a cluster may start its first GPU node only on request.

    Args:
        resources: Resources of a worker.
        grows: Whether to wait for nodes that the cluster adds.
        trial: The largest number of workers of a trial; 0 if none is to run.
        stage_1: Workers of stage 1; 0 if it need not be trained.

    Raises:
        ConfigError: They do not fit.
    """
    import ray
    from ray.autoscaler.sdk import request_resources

    needed = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    workers = max(trial, stage_1)
    key = "align.workers" if workers > trial else "resources.workers_per_trial"
    until_s = time.monotonic() + (resources.wait_for_nodes_s if grows else 0.0)
    asked = False
    bundle = worker_bundle(resources)
    while (lacking := _lacking(needed, ray.nodes())) or num_workers_that_fit(
        bundle, ray.nodes()
    ) < workers:
        if time.monotonic() >= until_s:
            if lacking:
                raise ConfigError(_advice(lacking, needed, ray.nodes()))
            raise ConfigError(_too_few(key, workers, num_workers_that_fit(bundle, ray.nodes())))
        if not asked:
            request_resources(bundles=[bundle] * workers)
            asked = True
        time.sleep(POLL_S)


def _lacking(needed: dict[str, float], nodes: list[dict[str, Any]]) -> str:
    """``CPU`` or ``GPU``, whichever keeps a worker from fitting on a node; empty if one fits."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    fits = [n for n in alive if all(n.get(kind, 0) >= x for kind, x in needed.items())]
    if fits:
        return ""
    return next((k for k, x in needed.items() if all(n.get(k, 0) < x for n in alive)), "CPU")


def _too_few(key: str, workers: int, places: int) -> str:
    return (
        f"{key} is {workers}, but this Ray cluster has room for only "
        f"{counted(places, 'worker')}: lower it, give the --address of a larger cluster, or let "
        "the cluster grow (resources.wait_for_nodes_s)"
    )


def _advice(lacking: str, needed: dict[str, float], nodes: list[dict[str, Any]]) -> str:
    most = max((n["Resources"].get(lacking, 0) for n in nodes if n["Alive"]), default=0)
    return (
        f"resources.{lacking.lower()}s_per_trial is {needed[lacking]:g}, but no node of this Ray "
        f"cluster has room for a trial ({lacking}s of the largest node: {most:g}): lower it, give "
        "the --address of a larger cluster, or let the cluster grow (resources.wait_for_nodes_s)"
    )
