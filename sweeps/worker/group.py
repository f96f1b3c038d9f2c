"""A group of worker processes that run one function together, started by Ray Train."""

import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnt_core.config import TrialConfig
from lnt_core.devices.faults import is_out_of_memory
from lnt_core.errors import LntError
from lnt_core.files import read_json, write_json
from sweeps.resources import ResourcesConfig
from sweeps.storage.notices import noted
from sweeps.worker.gate import allowed_nodes, pass_gate
from sweeps.worker.placement import worker_bundle

OUTCOME = "outcome.json"
"""File with what rank 0 returned, for the supervising process."""
RAY_TRAIN = "ray-train"
"""Folder of Ray Train's own files; deleted when the workers have ended."""


class WorkerDiedError(Exception):
    """A worker process died; Ray runs the trial, or the preparation of the base, again."""


@dataclass(frozen=True)
class GroupTask:
    """What every worker of a group is given."""

    config: TrialConfig
    cache: Path
    """Folder of what sweeps share, at this path on every node."""
    out: Path
    """Folder of the results, which all nodes see."""
    resources: ResourcesConfig
    """Resources of each worker."""
    noted: Path
    """The execution, which the user is told of through its folder (``sweeps.storage.notices``)."""
    sample_every_s: float = 0.0
    """Seconds between system metrics samples on rank 0's node; 0: no samples."""
    gate: Any = None
    """The actor that says whether a worker's node may run trials; None where no node can join."""


class WorkerGroup(threading.Thread):
    """A thread that runs ``work(task)`` in several processes of Ray Train and waits for their end.

    Args:
        work: Called in each process; its result must be JSON-serializable.
        task: Passed to ``work``.
        num_workers: Number of processes.
    """

    def __init__(
        self, work: Callable[[GroupTask], dict[str, Any]], task: GroupTask, num_workers: int
    ) -> None:
        super().__init__(daemon=True)
        self._error: Exception | None = None
        self._work = work
        self._task = task
        self._out = task.out
        self._resources = task.resources
        self._num_workers = num_workers
        (self._out / OUTCOME).unlink(missing_ok=True)

    def outcome(self) -> dict[str, Any]:
        """What ``work`` returned on rank 0; to be called once the thread has ended.

        Raises:
            WorkerDiedError: A worker process died.
            NodeRefusedError: No trial may run on the node of a worker.
            Exception: What a worker raised.
        """
        shutil.rmtree(self._out / RAY_TRAIN, ignore_errors=True)
        if self._error is not None:
            raise self._error
        done: dict[str, Any] = read_json(self._out / OUTCOME)
        (self._out / OUTCOME).unlink()
        return done

    def run(self) -> None:
        """Start the workers and wait until they have ended."""
        from ray import train
        from ray.train.torch import TorchConfig, TorchTrainer

        on_gpu = self._resources.gpus_per_trial > 0
        trainer = TorchTrainer(
            _write_outcome,
            train_loop_config={"work": self._work, "task": self._task},
            torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=self._num_workers,
                use_gpu=on_gpu,
                resources_per_worker=worker_bundle(self._resources),
                label_selector=allowed_nodes(self._task.gate),
            ),
            run_config=train.RunConfig(
                name=uuid.uuid4().hex,  # Ray Train would resume a run of the same name
                storage_path=str(self._out / RAY_TRAIN),
                failure_config=train.FailureConfig(max_failures=0),  # the caller retries
            ),
        )
        try:
            trainer.fit()
        except train.WorkerGroupError as error:
            self._error = _cause(error)
        except Exception as error:  # noqa: BLE001  raised by `outcome`
            self._error = error


def _write_outcome(loop_config: dict[str, Any]) -> None:
    """Run ``work`` in one worker; rank 0 writes what it returned."""
    from lnt_core.distributed.ranks import is_first

    task: GroupTask = loop_config["task"]
    pass_gate(task.gate)
    with noted(task.noted):
        done = loop_config["work"](task)
    if is_first():
        write_json(task.out / OUTCOME, done)


def _cause(error: Any) -> Exception:
    """The error that a worker itself raised, or else a `WorkerDiedError`."""
    failures = error.worker_failures.values()  # Ray's own errors mean a lost process
    raised = [e for e in failures if not type(e).__module__.startswith("ray.")]
    own = [e for e in raised if not _lost_another(e)]
    if not own:
        return WorkerDiedError(f"a worker process died: {error}")
    worst = next((e for e in own if isinstance(e, LntError)), own[0])
    worst.__cause__ = error  # has the worker's traceback
    return worst


def _lost_another(error: Exception) -> bool:
    """Whether a worker failed only because it lost the connection to another one."""
    import torch.distributed as dist

    if is_out_of_memory(error):  # its own: NCCL has none left on this worker
        return False
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "Connection closed by" in text
