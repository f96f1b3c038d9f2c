"""Starting or joining Ray: its token, and room for a trial."""

import re
import socket
import time
from typing import TYPE_CHECKING, Any

from lnt_core.errors import AccessError, ConfigError
from sweeps.driver.ray_patches import patch_tune
from sweeps.worker.placement import num_workers_that_fit, worker_bundle

if TYPE_CHECKING:
    from sweeps.resources import ResourcesConfig


POLL_S = 1.0


def start_ray(resources: "ResourcesConfig", address: str | None) -> None:
    """Start Ray here, or join the one at ``address``, and see that a trial has room.

    Raises:
        ConfigError: Nobody answers there, or no trial would ever start.
        AccessError: It wants a token, or another one.
    """
    import logging

    import ray

    is_one = address is not None and re.fullmatch(r"[^/]+:\d+", address) is not None
    if is_one and not _listens(str(address)):  # Ray itself would try for minutes
        raise ConfigError(f"nobody listens at {address}, where --address says that Ray is")
    try:
        ray.init(
            # not None: Ray would look for a cluster that once ran on this machine, and wait for it
            address=address or "local",
            include_dashboard=False if address is None else None,
            ignore_reinit_error=True,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ray.exceptions.AuthenticationError:
        raise _no_access(address) from None
    except ConnectionError as error:  # also where a token is refused
        if is_one:
            raise _no_access(address) from None
        raise ConfigError(
            f"no Ray answers at {address}: {str(error).splitlines()[0][:200]}"
        ) from None
    # Tune's own snapshots, which we never restore from, may fail without a word.
    logging.getLogger("ray.tune.execution.experiment_state").setLevel(logging.CRITICAL)
    _wait_for_room(resources, grows=address is not None)
    patch_tune()


def _no_access(address: str | None) -> AccessError:
    return AccessError(
        f"the Ray cluster at {address} wants a token, or refuses this one; set "
        "RAY_AUTH_MODE=token and put the right one into RAY_AUTH_TOKEN, or its file's name into "
        "RAY_AUTH_TOKEN_PATH"
    )


def _listens(address: str) -> bool:
    """Whether anybody takes connections at ``HOST:PORT``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10):
            return True
    except OSError:
        return False


def _wait_for_room(resources: "ResourcesConfig", *, grows: bool) -> None:
    """A cluster may start its first GPU node only when it is asked to."""
    import ray
    from ray.autoscaler.sdk import request_resources

    needed = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    workers = resources.most_workers
    until_s = time.monotonic() + (resources.wait_for_nodes_s if grows else 0.0)
    asked = False
    bundle = worker_bundle(resources)
    while (lacking := _lacking(needed, ray.nodes())) or num_workers_that_fit(
        bundle, ray.nodes()
    ) < workers:
        if time.monotonic() >= until_s:
            if lacking:
                raise ConfigError(_advice(lacking, needed, ray.nodes()))
            raise ConfigError(_too_few(workers, num_workers_that_fit(bundle, ray.nodes())))
        if not asked:
            request_resources(bundles=[bundle] * workers)
            asked = True
        time.sleep(POLL_S)


def _lacking(needed: dict[str, float], nodes: list[dict[str, Any]]) -> str:
    """The kind that no living node has enough of together with the rest, or empty."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    fits = [n for n in alive if all(n.get(kind, 0) >= x for kind, x in needed.items())]
    if fits:
        return ""
    return next((k for k, x in needed.items() if all(n.get(k, 0) < x for n in alive)), "CPU")


def _too_few(workers: int, places: int) -> str:
    return (
        f"resources.workers_per_trial is {workers}, but this Ray has room for {places} such "
        "workers at once; lower it, give the address of a larger cluster, or let it grow with "
        "resources.wait_for_nodes_s"
    )


def _advice(lacking: str, needed: dict[str, float], nodes: list[dict[str, Any]]) -> str:
    most = max((n["Resources"].get(lacking, 0) for n in nodes if n["Alive"]), default=0)
    return (
        f"resources.{lacking.lower()}s_per_trial is {needed[lacking]:g}, but no node of this Ray "
        f"has room for a trial (the largest has {most:g} {lacking}s); lower it, give the address "
        "of a cluster that has more, or let it grow with resources.wait_for_nodes_s"
    )
