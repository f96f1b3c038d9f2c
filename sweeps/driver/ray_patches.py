"""Patches of Ray Tune 2.60: for two defects, and to let `signals` end a sweep."""

import importlib
from typing import Any

from sweeps import signals

KILLED_FOR_MEMORY = "Ray's memory monitor killed the trial's process"
RAYS_WORDS = "the node running low on memory"
"""Part of Ray's message about a process that was killed while it started."""


def patch_tune() -> None:
    """Patch Ray Tune in this process; a second call has no effect."""
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.tune.execution.tune_controller import TuneController

    if getattr(RayActorManager._actor_task_failed, "is_lnt", False):
        return
    _outlive_the_memory_monitor(RayActorManager)
    _let_joining_nodes_start(TuneController)
    _end_at_signals()


def is_killed_for_memory(error: str) -> bool:
    """Whether this is the error of a process that Ray's memory monitor killed."""
    return KILLED_FOR_MEMORY in error or RAYS_WORDS in error


def _outlive_the_memory_monitor(manager_class: Any) -> None:
    """Treat OutOfMemoryError as the death of one trial's process.

    Ray Tune takes it for an internal error and ends the whole sweep.
    """
    import ray

    original = manager_class._actor_task_failed

    def task_failed(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, ray.exceptions.OutOfMemoryError):
            message = f"{KILLED_FOR_MEMORY}: {str(exception).splitlines()[0]}"
            exception = ray.exceptions.RayActorError(error_msg=message)
        original(manager, tracked_actor_task, exception)

    task_failed.is_lnt = True  # type: ignore[attr-defined]
    manager_class._actor_task_failed = task_failed


def _end_at_signals() -> None:
    """End Ray Tune's loop at any signal that `signals` knows, in place of SIGINT alone.

    Ray Tune keeps its handler of SIGINT after the loop, where it has no effect any more.
    """
    module = importlib.import_module("ray.tune.tune")  # `ray.tune.tune` may be something else
    module._setup_signal_catching = signals.arrived  # type: ignore[attr-defined]


def _let_joining_nodes_start(controller_class: Any) -> None:
    """Keep the process that is starting for a trial, for example on a node that has just joined.

    Ray Tune gives a process that becomes free to the first pending trial, and ends the process that
    was starting for that trial. While trials on other nodes end faster than a process starts, the
    new node never runs a trial. With this patch, the free process takes the first pending trial
    for which no process is starting.
    """
    original = controller_class._maybe_reuse_cached_actor

    def is_starting(controller: Any, trial: Any) -> bool:
        actor = controller._trial_to_actor.get(trial)
        return actor is not None and controller._actor_manager.is_actor_started(actor)

    def maybe_reuse(controller: Any, trial: Any) -> bool:
        if is_starting(controller, trial) and trial not in controller._resetting_trials:
            for other in controller._trials:
                waits = other in controller._pending_trials and other in controller._staged_trials
                if waits and not is_starting(controller, other):
                    original(controller, other)
                    return False  # this trial keeps the process that is starting for it
        return bool(original(controller, trial))

    controller_class._maybe_reuse_cached_actor = maybe_reuse
