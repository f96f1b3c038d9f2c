"""The driver's side of `lnt trial`: reads requests from MLflow, carries them out, answers."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lnt_core.config import StartedFrom, TrialConfig
from lnt_core.errors import DamagedError
from lnt_core.files import check_torch
from lnt_core.training.checkpoints import step_of
from lnt_core.trial import CHECKPOINT, GRADIENTS, has_checkpoint
from sweeps.driver.clones import change_problems, clone, tunable
from sweeps.driver.queue import TrialQueue
from sweeps.driver.steps import total_steps
from sweeps.plan.trials import SweepTrial
from sweeps.storage.trials import add_trial, all_trials, remove_trial
from sweeps.tracking.requests import Answer, Asked, Request, answer, unanswered
from sweeps.validation import validation_problems
from sweeps.worker.context import Context

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from sweeps.driver.callback import SweepStopper


POLL_S = 2.0
"""Least number of seconds between two looks for requests."""


class Control:
    """Stops and clones trials on request. Used only by the tracker's thread.

    Args:
        context: Context of the execution.
        queue: Receives clones.
        stopper: Stops trials.
        announce: Called with the number of trials that are added.
    """

    def __init__(
        self,
        context: Context,
        queue: TrialQueue,
        stopper: "SweepStopper",
        announce: Callable[[int], None],
    ) -> None:
        self._context = context
        self._queue = queue
        self._stopper = stopper
        self._announce = announce
        self._polled_s = 0.0
        self._answered: set[str] = set()

    def poll(self, client: "MlflowClient", parent_id: str) -> None:
        """Look for requests, if the last look is ``POLL_S`` ago; safe to repeat after an error."""
        if time.monotonic() - self._polled_s < POLL_S:
            return
        for asked in unanswered(client.get_run(parent_id).data.tags):
            if asked.id not in self._answered and (reply := self._reply(asked)) is not None:
                self._answered.add(asked.id)  # even if the answer cannot be written
                answer(client, parent_id, asked.id, reply)
        self._polled_s = time.monotonic()

    def hurry(self) -> None:
        """Make the next `poll` look for requests, whenever the last look was."""
        self._polled_s = 0.0

    def _reply(self, asked: Asked) -> Answer | None:
        """Carry out what was asked; None as long as there is nothing to tell."""
        if asked.request is None:
            return Answer(False, "not a request")
        if asked.request.kind == "stop":
            return self._stop(asked.request)
        return self._clone(asked.id, asked.request)

    def _stop(self, request: Request) -> Answer | None:
        """Stop a trial; None until it has ended."""
        if request.trial not in all_trials(self._context.execution):
            return Answer(False, f"this sweep has no trial {request.trial}")
        result = self._context.execution.result(request.trial)
        if result is None:
            self._stopper.stop(request.trial)
            return None
        if result.stopped_by:
            return Answer(True, f"stopped at step {result.steps}")
        return Answer(False, f"the trial ended before it could be stopped: {result.status}")

    def _clone(self, request_id: str, request: Request) -> Answer:
        execution = self._context.execution
        known = all_trials(execution)
        for trial in known.values():
            if trial.request == request_id:  # added by a driver that was killed before it answered
                return Answer(True, f"the clone is trial {trial.id}")
        original = known.get(request.trial)
        if original is None:
            return Answer(False, f"this sweep has no trial {request.trial}")
        if problems := self._problems(original, request):
            return Answer(False, "; ".join(problems))
        draft = execution.path / f".{request_id}.pt"
        try:
            started_from = (
                self._take_checkpoint(request, draft) if request.from_checkpoint else None
            )
            return self._run(request_id, request, original, started_from, draft)
        except ValidationError as error:
            return Answer(False, "; ".join(validation_problems(error, TrialConfig)))
        except FileNotFoundError:
            return Answer(False, self._no_checkpoint(original))
        except DamagedError as error:
            return Answer(
                False,
                f"the checkpoint of trial {original.id} is damaged ({error.why}); clone it without "
                "--from-checkpoint, or wait for its next checkpoint",
            )
        finally:
            draft.unlink(missing_ok=True)

    def _problems(self, original: SweepTrial, request: Request) -> list[str]:
        """Why the requested values cannot be: anyone may write a request, not `lnt trial` alone."""
        return change_problems(
            tunable(original.config),
            request.changes,
            from_checkpoint=request.from_checkpoint,
            scheduler=self._context.sweep.search.scheduler,
        )

    def _no_checkpoint(self, original: SweepTrial) -> str:
        if has_checkpoint(self._context.execution.trial(original.id)):
            return (
                f"the checkpoint of trial {original.id} is DeepSpeed's, which no other trial can "
                "start from; clone it without --from-checkpoint"
            )
        return f"trial {original.id} has no checkpoint: it wrote none yet, or has finished"

    def _take_checkpoint(self, request: Request, draft: Path) -> StartedFrom:
        """Link the checkpoint to ``draft``: the trial replaces the file and never overwrites it."""
        source = self._context.execution.trial(request.trial) / CHECKPOINT
        try:
            os.link(source, draft)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            shutil.copyfile(source, draft)
        check_torch(draft)
        return StartedFrom(trial=request.trial, step=step_of(draft))

    def _run(
        self,
        request_id: str,
        request: Request,
        original: SweepTrial,
        started_from: StartedFrom | None,
        draft: Path,
    ) -> Answer:
        """Add the clone to the sweep, with the checkpoint in ``draft`` if it starts from one."""
        execution = self._context.execution
        trial = clone(original, started_from, request_id, request.changes)
        if trial.id in all_trials(execution):
            return Answer(False, f"the sweep already has this trial: {trial.id}")
        if started_from is not None:
            config = trial.config
            total = total_steps(config, self._context.cache)
            if started_from.step >= total:
                return Answer(
                    False,
                    f"the checkpoint is at step {started_from.step}, but the clone ends at step "
                    f"{total}: nothing is left to train",
                )
        out = execution.trial(trial.id)
        if started_from is not None:
            out.mkdir(parents=True, exist_ok=True)
            gradients = execution.trial(request.trial) / GRADIENTS
            if gradients.exists():
                shutil.copyfile(gradients, out / GRADIENTS)
            os.replace(draft, out / CHECKPOINT)
        add_trial(execution, trial)
        if not self._queue.put_first(trial.id):
            remove_trial(execution, trial.id)
            return Answer(False, "the sweep has run all its trials")
        self._announce(1)
        start = f", from step {started_from.step} of the checkpoint" if started_from else ""
        return Answer(
            True, f"the clone is trial {trial.id}{start}; it runs as soon as resources are free"
        )
