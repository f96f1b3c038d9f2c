"""One trial on several workers: Ray Train inside the trial of Ray Tune.

The first worker writes the trial's events, as a trial of one process does; the trial itself only
waits and passes on what stands there.
"""

import shutil
import threading
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lnt_core.config import TrialConfig
from lnt_core.errors import LntError
from lnt_core.training.loop import Report
from lnt_core.trial import TrialResult
from sweeps.died import WorkerDiedError
from sweeps.events import EVENTS, EventLog, read_events
from sweeps.execution import read_json, write_json
from sweeps.resources import ResourcesConfig
from sweeps.room import worker_room

OUTCOME = "outcome.json"
"""What the first worker leaves for the trial to read."""
RAY_TRAIN = "ray-train"
POLL_S = 0.2


def run_distributed(
    config: TrialConfig, cache: Path, out: Path, *, resources: ResourcesConfig, report: Report
) -> TrialResult:
    """Run a trial in as many workers as its strategy has; goes on from their checkpoint.

    Args:
        config: With ``train.deepspeed``.
        cache: Of each node.
        out: The trial's folder, which every node sees.
        resources: Of each worker, and their number.
        report: Told of each step, behind the events.

    Raises:
        WorkerDiedError: A worker's process is gone.
        Exception: What a worker raised.
    """
    (out / OUTCOME).unlink(missing_ok=True)
    training = _Training(config, cache, out, resources)
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
    shutil.rmtree(out / RAY_TRAIN, ignore_errors=True)
    if training.error is not None:
        raise training.error
    done = TrialResult(**read_json(out / OUTCOME))
    (out / OUTCOME).unlink()
    return done


class _Training(threading.Thread):
    """Ray Train's own wait; what the workers raised is in ``error`` at its end."""

    def __init__(
        self, config: TrialConfig, cache: Path, out: Path, resources: ResourcesConfig
    ) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self._out = out
        self._resources = resources
        self._num_workers = resources.workers_of(config.strategy.name)
        self._given = {"config": config, "cache": cache, "out": out, "resources": resources}

    def run(self) -> None:
        from ray import train
        from ray.train.torch import TorchConfig, TorchTrainer

        on_gpu = self._resources.gpus_per_trial > 0
        trainer = TorchTrainer(
            _work,
            train_loop_config=self._given,
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
            self.error = _cause(error)
        except Exception as error:  # noqa: BLE001  passed on to the trial's own thread
            self.error = error


def _work(given: dict[str, Any]) -> None:
    """What each worker runs."""
    from ray.train.torch import get_device

    from lnt_core.distributed import is_first
    from lnt_core.trial import run_trial
    from sweeps.memory_share import memory_share_gib
    from sweeps.trainable import worker_for

    out, resources = given["out"], given["resources"]
    worker = worker_for(resources, given["cache"], device=str(get_device()))
    events = EventLog(out / EVENTS) if is_first() else None
    done = run_trial(
        given["config"],
        out=out,
        report=events.write if events is not None else _say_nothing,
        worker=worker,
        memory_gib=memory_share_gib(resources),
    )
    if events is not None:
        events.close()
        write_json(out / OUTCOME, asdict(done))


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
