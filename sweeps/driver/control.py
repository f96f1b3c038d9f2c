"""The driver's side of `lnt trial`: reads requests from MLflow, stops and clones, answers."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lnt_core.config import StartedFrom, TrialConfig
from lnt_core.identity import trial_id
from lnt_core.training.checkpoints import step_of
from lnt_core.trial import CHECKPOINT, GRADIENTS
from sweeps.driver.clones import clone
from sweeps.driver.growth import Growth
from sweeps.driver.queue import PointQueue
from sweeps.driver.steps import total_steps
from sweeps.storage.extra_trials import FOLDER, add, all_added, take_back
from sweeps.tracking.requests import Answer, Request, answer, unanswered
from sweeps.validation import validation_problems
from sweeps.worker.context import Context, named_point

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from sweeps.driver.callback import SweepStopper


POLL_S = 2.0


class Control:
    """Carries out what is asked of the sweep. Used by the tracker's thread alone.

    Args:
        context: Of the execution.
        growth: Knows every trial of the sweep.
        queue: Takes clones.
        stopper: Ends trials.
        announce: Told how many trials are added.
    """

    def __init__(
        self,
        context: Context,
        growth: Growth,
        queue: PointQueue,
        stopper: "SweepStopper",
        announce: Callable[[int], None],
    ) -> None:
        self._context = context
        self._growth = growth
        self._queue = queue
        self._stopper = stopper
        self._announce = announce
        self._polled_s = 0.0

    def poll(self, client: "MlflowClient", parent_id: str) -> None:
        """Look for requests, if the last time is long enough ago; may be done twice."""
        if time.monotonic() - self._polled_s < POLL_S:
            return
        for request in unanswered(client.get_run(parent_id).data.tags):
            told = self._stop(request) if request.kind == "stop" else self._clone(request)
            if told is not None:
                answer(client, parent_id, request, told)
        self._polled_s = time.monotonic()

    def hurry(self) -> None:
        """Look at the next occasion, however long ago the last time is."""
        self._polled_s = 0.0

    def _stop(self, request: Request) -> Answer | None:
        """None until the trial has ended."""
        result = self._context.execution.result(request.trial)
        if result is None:
            self._stopper.stop(request.trial)
            return None
        if result.stopped_by:
            return Answer(True, f"stopped at step {result.steps}")
        return Answer(False, f"it ended before it could be stopped: {result.status}")

    def _clone(self, request: Request) -> Answer:
        execution, configs = self._context.execution, self._growth.configs()
        for name, added in all_added(execution).items():
            if added.request == request.id:  # taken in by a driver that was killed then
                return Answer(True, f"the clone is trial {name}")
        original = configs.get(request.trial)
        if original is None:
            return Answer(False, f"this sweep has no trial {request.trial}")
        draft = execution.path / FOLDER / f".{request.id}.pt"
        try:
            started_from = (
                self._take_checkpoint(request, draft) if request.from_checkpoint else None
            )
            return self._run(request, original, started_from, draft, configs)
        except ValidationError as error:
            return Answer(False, "; ".join(validation_problems(error, TrialConfig)))
        except FileNotFoundError:
            return Answer(False, f"trial {request.trial} has no checkpoint (yet, or any more)")
        finally:
            draft.unlink(missing_ok=True)

    def _take_checkpoint(self, request: Request, draft: Path) -> StartedFrom:
        """A second name for the file: checkpoints are replaced, never written over."""
        source = self._context.execution.trial(request.trial) / CHECKPOINT
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, draft)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(source, draft)
        return StartedFrom(trial=request.trial, step=step_of(draft))

    def _run(
        self,
        request: Request,
        original: TrialConfig,
        started_from: StartedFrom | None,
        draft: Path,
        configs: dict[str, TrialConfig],
    ) -> Answer:
        context, execution = self._context, self._context.execution
        values = context.point(named_point(context, request.trial, original))[2]
        added = clone(original, values, started_from, request)
        name = trial_id(added.config)
        if name in configs:
            return Answer(False, f"the sweep has this trial already: {name}")
        if started_from is not None:
            config = added.config
            total = total_steps(config.train, config.data, config.seed, context.cache)
            if started_from.step >= total:
                return Answer(
                    False,
                    f"the checkpoint stands at step {started_from.step}, and the clone would end "
                    f"at {total}: nothing is left to train",
                )
        out = execution.trial(name)
        if started_from is not None:
            out.mkdir(parents=True, exist_ok=True)
            gradients = execution.trial(request.trial) / GRADIENTS
            if gradients.exists():
                shutil.copyfile(gradients, out / GRADIENTS)
            os.replace(draft, out / CHECKPOINT)
        add(execution, added)
        if not self._queue.put_first(added.point):
            take_back(execution, name)
            return Answer(False, "the sweep is at its end")
        self._announce(1)
        began = f", from step {started_from.step} of its checkpoint" if started_from else ""
        return Answer(True, f"the clone is trial {name}{began}; it runs as soon as there is room")
