"""A group of worker processes that run one piece of work together, by Ray Train."""

import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lnt_core.errors import LntError
from sweeps.resources import ResourcesConfig
from sweeps.storage.execution import read_json, write_json
from sweeps.worker.placement import worker_bundle

OUTCOME = "outcome.json"
"""What the first worker leaves for the trial to read."""
RAY_TRAIN = "ray-train"


class WorkerDiedError(Exception):
    """A worker's process is gone; the trial is to start again from its checkpoint."""


class WorkerGroup(threading.Thread):
    """So many processes of Ray Train, each of which runs ``work(given)``; waits for their end."""

    def __init__(
        self, work: Callable[[dict[str, Any]], Any], given: dict[str, Any], num_workers: int
    ) -> None:
        super().__init__(daemon=True)
        self._error: Exception | None = None
        self._work = work
        self._given = given
        self._out: Path = given["out"]
        self._resources: ResourcesConfig = given["resources"]
        self._num_workers = num_workers
        (self._out / OUTCOME).unlink(missing_ok=True)

    def outcome(self) -> dict[str, Any]:
        """What the first worker left, or raises what one raised; at the end."""
        shutil.rmtree(self._out / RAY_TRAIN, ignore_errors=True)
        if self._error is not None:
            raise self._error
        done: dict[str, Any] = read_json(self._out / OUTCOME)
        (self._out / OUTCOME).unlink()
        return done

    def run(self) -> None:
        """Start the workers and wait until they have ended; the thread's own body."""
        from ray import train
        from ray.train.torch import TorchConfig, TorchTrainer

        on_gpu = self._resources.gpus_per_trial > 0
        trainer = TorchTrainer(
            _first_leaves_outcome,
            train_loop_config={"work": self._work, "given": self._given},
            torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=self._num_workers,
                use_gpu=on_gpu,
                resources_per_worker=worker_bundle(self._resources),
            ),
            run_config=train.RunConfig(
                name=uuid.uuid4().hex,  # it would go on from a state of its own under the same one
                storage_path=str(self._out / RAY_TRAIN),
                failure_config=train.FailureConfig(max_failures=0),  # Tune counts deaths
            ),
        )
        try:
            trainer.fit()
        except train.WorkerGroupError as error:
            self._error = _cause(error)
        except Exception as error:  # noqa: BLE001  passed on to the trial's own thread
            self._error = error


def _first_leaves_outcome(asked: dict[str, Any]) -> None:
    """What each worker runs."""
    from lnt_core.distributed.ranks import is_first

    done = asked["work"](asked["given"])
    if is_first():
        write_json(asked["given"]["out"] / OUTCOME, done)


def _cause(error: Any) -> Exception:
    """What went wrong first: what a worker raised itself, or else that one is gone."""
    failures = error.worker_failures.values()  # Ray's own say that a process does not answer
    raised = [e for e in failures if not type(e).__module__.startswith("ray.")]
    own = [e for e in raised if not _lost_another(e)]
    if not own:
        return WorkerDiedError(f"a worker of the trial is gone: {error}")
    worst = next((e for e in own if isinstance(e, LntError)), own[0])
    worst.__cause__ = error  # which has the worker's traceback
    return worst


def _lost_another(error: Exception) -> bool:
    """Whether a worker only says that another one does not answer any more."""
    import torch.distributed as dist

    told = str(error)
    return isinstance(error, dist.DistError) or "gloo" in told or "Connection closed by" in told
