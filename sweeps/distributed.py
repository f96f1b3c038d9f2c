"""One trial on several workers: Ray Train inside the trial of Ray Tune; the base likewise.

The first worker writes the trial's events, as a trial of one process does; the trial itself only
waits and passes on what stands there.
"""

import functools
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lnt_core.config import TrialConfig
from lnt_core.errors import LntError
from lnt_core.training.loop import Report
from lnt_core.trial import TrialResult
from sweeps.died import WorkerDiedError
from sweeps.resources import ResourcesConfig
from sweeps.room import worker_room
from sweeps.storage.events import EVENTS, EventLog, read_events
from sweeps.storage.execution import read_json, write_json
from sweeps.system_metrics import SystemMetrics

if TYPE_CHECKING:
    from lnt_core.worker import Worker

OUTCOME = "outcome.json"
"""What the first worker leaves for the trial to read."""
RAY_TRAIN = "ray-train"
POLL_S = 0.2


def run_distributed(
    config: TrialConfig,
    cache: Path,
    out: Path,
    *,
    resources: ResourcesConfig,
    report: Report,
    sample_every_s: float = 0.0,
) -> TrialResult:
    """Run a trial in as many workers as its strategy has; goes on from their checkpoint.

    Args:
        config: With ``train.deepspeed``.
        cache: Of each node.
        out: The trial's folder, which every node sees.
        resources: Of each worker, and their number.
        report: Told of each step, behind the events.
        sample_every_s: How often the first worker's node is asked how busy it is; 0: never.

    Raises:
        WorkerDiedError: A worker's process is gone.
        Exception: What a worker raised.
    """
    given = {"config": config, "cache": cache, "out": out, "resources": resources}
    given["sample_every_s"] = sample_every_s
    training = _Workers(_train, given, resources.workers_of(config.strategy.name))
    offset = (out / EVENTS).stat().st_size if (out / EVENTS).exists() else 0
    training.start()
    while True:
        over = not training.is_alive()
        if (out / EVENTS).exists():
            for event, end in read_events(out / EVENTS, offset):
                report(event.step, event.metrics)
                offset = end
        if over:
            break
        time.sleep(POLL_S)
    return TrialResult(**training.outcome())


def prepare_base_distributed(
    config: TrialConfig, cache: Path, out: Path, *, resources: ResourcesConfig, num_workers: int
) -> dict[str, float]:
    """As :func:`sweeps.base.prepare_base`, by workers that each hold a part of the base.

    Raises:
        WorkerDiedError: A worker's process is gone.
        Exception: What a worker raised.
    """
    out.mkdir(parents=True, exist_ok=True)
    given = {"config": config, "cache": cache, "out": out, "resources": resources}
    preparing = _Workers(_prepare, given, num_workers)
    preparing.start()
    preparing.join()
    return preparing.outcome()


class _Workers(threading.Thread):
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
                resources_per_worker=worker_room(self._resources),
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
    from lnt_core.distributed import is_first

    done = asked["work"](asked["given"])
    if is_first():
        write_json(asked["given"]["out"] / OUTCOME, done)


def _train(given: dict[str, Any]) -> dict[str, Any]:
    """Of each worker."""
    from lnt_core.distributed import is_first
    from lnt_core.trial import run_trial
    from sweeps.memory_share import memory_share_gib

    config, out, resources = given["config"], given["out"], given["resources"]
    run = functools.partial(
        run_trial,
        config,
        out=out,
        worker=_own_worker(given),
        memory_gib=memory_share_gib(resources),
    )
    if not is_first():
        return asdict(run(report=_say_nothing))
    events = EventLog(out / EVENTS)
    try:
        with SystemMetrics(events, given["sample_every_s"]):
            return asdict(run(report=events.write))
    finally:
        events.close()


def _prepare(given: dict[str, Any]) -> dict[str, float]:
    """Of each worker."""
    from sweeps.base import score_base

    return score_base(given["config"], _own_worker(given), given["out"])


def _own_worker(given: dict[str, Any]) -> "Worker":
    from ray.train.torch import get_device

    from sweeps.trainable import worker_for

    return worker_for(given["resources"], given["cache"], device=str(get_device()))


def _say_nothing(step: int, metrics: dict[str, float]) -> None:
    """What the other workers report."""


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
