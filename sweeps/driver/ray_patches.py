"""Two faults of Ray Tune 2.60 that end or starve a sweep, mended at run time."""

from typing import Any

KILLED_FOR_MEMORY = "Ray's memory monitor killed the trial's process"
RAYS_WORDS = "the node running low on memory"


def patch_tune() -> None:
    """Change Ray Tune in this process; a second call changes nothing."""
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.tune.execution.tune_controller import TuneController

    if getattr(RayActorManager._actor_task_failed, "is_lnt", False):
        return
    _outlive_the_memory_monitor(RayActorManager)
    _let_joining_nodes_start(TuneController)


def is_killed_for_memory(error: str) -> bool:
    """Whether a process died so, while it ran or already while it started."""
    return KILLED_FOR_MEMORY in error or RAYS_WORDS in error


def _outlive_the_memory_monitor(manager_class: Any) -> None:
    """Tune takes OutOfMemoryError for a bug of its own and ends the whole sweep.

    It is the death of one trial's process, and with this patch counted as that.
    """
    import ray

    original = manager_class._actor_task_failed

    def task_failed(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, ray.exceptions.OutOfMemoryError):
            told = f"{KILLED_FOR_MEMORY}: {str(exception).splitlines()[0]}"
            exception = ray.exceptions.RayActorError(error_msg=told)
        original(manager, tracked_actor_task, exception)

    task_failed.is_lnt = True  # type: ignore[attr-defined]
    manager_class._actor_task_failed = task_failed


def _let_joining_nodes_start(controller_class: Any) -> None:
    """Tune gives a free process to the first trial in line, and ends what was starting for it.

    That is the process on the node that has just joined: while trials elsewhere end faster than a
    process starts there, it never gets one. With this patch the free process takes the first
    trial in line for which nothing is starting yet.
    """
    original = controller_class._maybe_reuse_cached_actor

    def starts(controller: Any, trial: Any) -> bool:
        actor = controller._trial_to_actor.get(trial)
        return actor is not None and controller._actor_manager.is_actor_started(actor)

    def maybe_reuse(controller: Any, trial: Any) -> bool:
        if starts(controller, trial) and trial not in controller._resetting_trials:
            for other in controller._trials:
                waits = other in controller._pending_trials and other in controller._staged_trials
                if waits and not starts(controller, other):
                    original(controller, other)
                    return False  # this trial keeps the process that starts for it
        return bool(original(controller, trial))

    controller_class._maybe_reuse_cached_actor = maybe_reuse
