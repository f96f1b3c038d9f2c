"""A task made ready for one model: encoded, run in batches by all workers, and scored."""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lnt_core.config import FilesConfig
from lnt_core.data.annotations import annotations_sha256
from lnt_core.data.captioned import CaptionedImage
from lnt_core.data.conversation import Encoded
from lnt_core.devices.faults import is_out_of_memory
from lnt_core.devices.memory import empty
from lnt_core.distributed.ranks import gather, num_workers, rank
from lnt_core.distributed.sharded import runs_in_step
from lnt_core.errors import DataError
from lnt_core.evaluation.batch_size import lower_to, told
from lnt_core.evaluation.record import Record
from lnt_core.evaluation.tasks import Task, annotation_files
from lnt_core.models.features import FeatureStore

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Evaluated:
    """The scores of a model on a task."""

    metric: str
    """The one that chooses."""
    summary: dict[str, float]
    """Every score by its name, that of ``metric`` among them."""
    rows: tuple[dict[str, Any], ...]
    """One row per question, for a file of JSON lines."""

    @property
    def score(self) -> float:
        """The score that chooses."""
        return self.summary[self.metric]


class PreparedTask(ABC):
    """A task that is prepared once and used for all trials of a worker.

    Args:
        task: The task, with its questions.
        prefix: What the names of its metrics begin with.
        batch_size: Questions at once.
    """

    kind = "answers"
    """What its file of rows is called."""

    def __init__(self, task: Task[Any], prefix: str, *, batch_size: int) -> None:
        if not task.questions:
            raise DataError(f"the task {task.options.task!r} has no questions")
        self.task = task
        self.prefix = prefix
        self.batch_size = batch_size
        """Questions that are answered at once: those of the config, or what was left of them when
        memory ran out; later trials of this process begin with it."""
        self.told_in: Path | None = None
        """File through which other processes of the sweep begin with it too."""
        of_image: dict[Path, CaptionedImage] = {}
        for question in task.questions:
            if question.image is not None:
                item = CaptionedImage(question.image, question.references)
                of_image.setdefault(question.image, item)
        self.items = list(of_image.values())
        """Each image once, with the references of its first question."""

    @property
    def file(self) -> str:
        """Name of the file of its rows."""
        return f"{self.kind}_{self.prefix}.jsonl"

    @property
    def images(self) -> list[Path]:
        """Each image once."""
        return [item.image for item in self.items]

    @property
    @abstractmethod
    def prompt(self) -> str:
        """The whole text before the first answer, with ``<image>`` in place of the image."""

    @property
    @abstractmethod
    def prompts(self) -> list[Encoded]:
        """A prompt for each of ``images``; analyses run the model on them."""

    @property
    @abstractmethod
    def longest(self) -> tuple[int, int]:
        """Tokens of the longest prompt, and how many are generated after it at most."""

    @property
    def sha256(self) -> str:
        """Hash of prompt, options and annotation files: scores of another hash do not compare."""
        options = self.task.options
        hidden = {*options.files, *options.folders, "batch_size", "name", "when"}
        stated = [self.prompt, options.model_dump(mode="json", exclude=hidden)]
        digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
        if isinstance(options, FilesConfig):
            digest.update(annotations_sha256(options).encode())
            return digest.hexdigest()
        for name, path in sorted(annotation_files(options).items()):
            digest.update(f"\n{name} ".encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    @property
    def described(self) -> dict[str, Any]:
        """What its scores must be named with."""
        return {
            "task": self.task.options.task,
            "questions": len(self.task.questions),
            "prompt": self.prompt,
            "sha256": self.sha256,
        }

    @abstractmethod
    def evaluate(
        self,
        model: nn.Module,
        store: FeatureStore,
        *,
        bf16: bool = False,
        record: Record | None = None,
    ) -> Evaluated:
        """Run ``model`` on every question and score it.

        Several workers share the batches; each of them returns the complete result.

        Args:
            model: The model; is put into evaluation mode.
            store: Features of the images.
            bf16: Run under bfloat16 autocast.
            record: Keeps the results of batches, and has those of an earlier call; for one process.

        Raises:
            TrialError: The task cannot be scored.
        """

    def _be_told(self, *, in_step: bool) -> None:
        """Lower the batch size to what other processes have told."""
        if self.told_in is not None:
            known = told(self.told_in, self.prefix)
            self.batch_size = min(self.batch_size, known or self.batch_size)
        if in_step:  # else one worker might run more batches than another
            self.batch_size = min(gather(self.batch_size))

    def _in_memory(
        self,
        model: nn.Module,
        device: torch.device,
        batch: Sequence[Item],
        run: Callable[[Sequence[Item]], Sequence[Result]],
    ) -> list[Result]:
        """Results of one batch, in as many parts as memory requires.

        Args:
            model: The one that ``run`` calls.
            device: The model's.
            batch: The items.
            run: Called with a part; returns a result for each of its items.
        """
        results: list[Result] = []
        while part := batch[len(results) : len(results) + self.batch_size]:
            try:
                results += run(part)
                continue
            except Exception as error:
                # workers that run in step must run the model the same number of times
                if len(part) == 1 or runs_in_step(model) or not is_out_of_memory(error):
                    raise
            empty(device)  # not before the error is gone, which holds the tensors
            self.batch_size = len(part) // 2
            logger.warning(
                "%s ran out of memory with %d questions at once; going on with %d",
                self.prefix,
                len(part),
                self.batch_size,
            )
            if self.told_in is not None:
                lower_to(self.told_in, self.prefix, self.batch_size)
        return results


def shared_results(
    model: nn.Module,
    batches: Sequence[Sequence[Item]],
    run: Callable[[Sequence[Item]], Sequence[Result]],
    record: Record | None = None,
) -> list[Result]:
    """The results of all batches in their order; workers share them.

    Args:
        model: The one that ``run`` calls.
        batches: The same on every worker.
        run: Called with a batch; returns a result for each of its items.
        record: Keeps them, for one process.
    """
    if record is not None:
        assert num_workers() == 1
        return record.results(batches, run)
    own = {i: run(batches[i]) for i in range(rank(), len(batches), num_workers())}
    remainder = len(batches) % num_workers()
    if runs_in_step(model) and remainder and rank() >= remainder:
        run(batches[-1])
    done = {i: results for part in gather(own) for i, results in part.items()}
    return [result for index in range(len(batches)) for result in done[index]]


def in_batches(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """The items in batches of ``size``, the last of which may be smaller."""
    return [items[start : start + size] for start in range(0, len(items), size)]
