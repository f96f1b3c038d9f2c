"""What a worker keeps between trials: base model, stage 1, encoded data, image features, tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lnt_core.config import DataConfig, FilesConfig, TrialConfig
from lnt_core.data.conversation import Encoded
from lnt_core.data.encoded_cache import encoded_samples
from lnt_core.data.scene_questions import scenes_data
from lnt_core.data.stored import with_image_files
from lnt_core.devices.chosen import settle_device
from lnt_core.devices.memory import empty
from lnt_core.devices.numerics import settle_numerics
from lnt_core.distributed.sharded import is_sharded
from lnt_core.distributed.zero_config import stage_of
from lnt_core.evaluation.prepared import PreparedTask
from lnt_core.evaluation.ready import make_ready, report_split, tasks_named
from lnt_core.evaluation.tasks import Task, make_task
from lnt_core.identity import align_id
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import VisionLanguageModel
from lnt_core.seeding import seed_everything
from lnt_core.training.align import is_kept, kept_connector, train_connector
from lnt_core.training.loop import Report, report_nothing


@dataclass(frozen=True)
class Prepared:
    """Everything that trials with the same model, data and stage 1 share."""

    base: VisionLanguageModel
    """With the connector of stage 1."""
    samples: Sequence[Encoded]
    store: FeatureStore
    select: PreparedTask
    report: tuple[PreparedTask, ...]
    """Tasks that never choose and that every trial is scored on: the report split of captioning,
    and those of `data.report` with `when: trials`."""
    pad_id: int

    def share_captioning(self, path: Path | None) -> None:
        """Tell other processes through this file how many images can be captioned at once."""
        for task in (self.select, *self.report):
            task.told_in = path


class Worker:
    """Prepares trials, and keeps what the next trial can reuse.

    Args:
        cache: Folder kept between runs and shared by workers: tiny models, scenes, stage 1,
            encoded data, features of images.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        feature_cache_gib: Limit of image features on disk; what does not fit is recomputed.
        loader_workers: Threads that make micro-batches while a trial trains.
    """

    def __init__(
        self,
        cache: Path,
        *,
        device: str = "cpu",
        feature_cache_gib: float = 4.0,
        loader_workers: int = 1,
    ) -> None:
        settle_device(device)
        self.loader_workers = loader_workers
        self._cache = cache
        self.device = device
        self._max_bytes = int(feature_cache_gib * 2**30)
        self._key = ""
        self._prepared: Prepared | None = None
        self._for_winners: tuple[PreparedTask, ...] | None = None
        self.predictions: dict[str, Any] = {}
        """Predicted step costs for what is prepared, by strategy and training config."""

    def prepare(self, config: TrialConfig, *, report: Report = report_nothing) -> Prepared:
        """Everything except the strategy; reused if the previous trial needed the same.

        Args:
            config: The trial's.
            report: Called after every step of stage 1, if that has to be trained.
        """
        shared = config.model_dump_json(
            include={"model": True, "data": True, "align": True, "seed": True}
        )
        train = config.train
        settle_numerics(self.device, train.precision, deterministic=train.deterministic)
        key = f"{shared} {train.precision} {train.max_length} {train.deterministic}"
        if stage_of(train.deepspeed) == 3:
            key += f" {train.deepspeed}"  # determines how the base is sharded
        if self._prepared is None or key != self._key:
            self.predictions.clear()
            self._prepared = self._for_winners = None  # free the old base before there is a new one
            empty(self.device)
            self._prepared = self._prepare(config, report)
            self._key = key
        self._prepared.base.take_back()
        return self._prepared

    def tasks_for_winners(self, config: TrialConfig) -> tuple[PreparedTask, ...]:
        """The tasks that only winners and the untuned base are scored on.

        Args:
            config: The one that :meth:`prepare` was called with last.
        """
        assert self._prepared is not None
        if self._for_winners is None:
            data = located(config.data, self._cache)
            tasks = tasks_named(task for task in data.report if task.for_winners)
            self._for_winners = tuple(
                _prepared(task, prefix, self._prepared.base, config)
                for prefix, task in tasks.items()
            )
        return self._for_winners

    def align(self, config: TrialConfig, *, report: Report = report_nothing) -> Path:
        """Train stage 1 alone, unless the cache has it.

        Args:
            config: That of any trial that has this stage 1.
            report: Called with every step of it, if it has to be trained.

        Returns:
            The file of its connector.
        """
        train = config.train
        settle_numerics(self.device, train.precision, deterministic=train.deterministic)
        self._prepared = None  # free the old base before the new one is built
        empty(self.device)
        self._aligned_base(config, located(config.data, self._cache), report)
        return connector_file(config, self._cache)

    def release_base(self) -> None:
        """Drop a sharded base, which its trial has changed; the next trial gets a new one."""
        self._prepared = None

    def _prepare(self, config: TrialConfig, report: Report) -> Prepared:
        data = located(config.data, self._cache)
        assert data.tune is not None
        assert data.select is not None
        base, store = self._aligned_base(config, data, report)
        encoded = encoded_samples(
            data.tune,
            base.conversations,
            seed=config.seed,
            max_length=config.train.max_length,
            cache=self._cache,
        )
        return Prepared(
            base=base,
            samples=encoded,
            store=store,
            select=_prepared(make_task(data.select), "select", base, config),
            report=tuple(
                _prepared(task, prefix, base, config) for prefix, task in _reported(data).items()
            ),
            pad_id=int(base.conversations.tokenizer.pad_token_id),
        )

    def _aligned_base(
        self, config: TrialConfig, data: DataConfig, report: Report
    ) -> tuple[VisionLanguageModel, FeatureStore]:
        """The base with the connector of stage 1, which is trained unless the cache has it."""
        base, store = self._base(config)
        if config.align is None:
            return base, store
        saved = connector_file(config, self._cache)
        connector = kept_connector(saved)
        if connector is None:
            deepspeed, chosen = config.train.deepspeed, data.align or data.tune
            assert chosen is not None
            align, train = config.align, config.train
            settle_numerics(self.device, align.precision, deterministic=align.deterministic)
            connector = train_connector(
                base,
                chosen,
                config.align,
                store=self._store(base, config.data, gives_way=config.data.align is not None),
                saved=saved,
                deepspeed=deepspeed,
                report=report,
                loader_workers=self.loader_workers,
            )
            settle_numerics(self.device, train.precision, deterministic=train.deterministic)
            if is_sharded(base.model):
                base, store = self._base(config)
        base.set_connector(connector)
        return base, store

    def _base(self, config: TrialConfig) -> tuple[VisionLanguageModel, FeatureStore]:
        seed_everything(config.align.seed if config.align else config.seed)
        base = load_base(
            config.model,
            cache=self._cache,
            device=self.device,
            precision=config.train.precision,
            deepspeed=config.train.deepspeed,
            opening=config.data.opening,
        )
        return base, self._store(base, config.data)

    def _store(
        self, base: VisionLanguageModel, data: DataConfig, *, gives_way: bool = False
    ) -> FeatureStore:
        """Features of images; those that only stage 1 uses give way to those of all trials."""
        return FeatureStore(
            base,
            max_bytes=self._max_bytes,
            opening=data.opening,
            folder=self._cache / "features",
            gives_way=gives_way,
        )


def is_prepared(config: TrialConfig, cache: Path) -> bool:
    """Whether the cache of this node has the connector of stage 1, and so all that it needed."""
    return config.align is None or is_kept(connector_file(config, cache))


def connector_file(config: TrialConfig, cache: Path) -> Path:
    """Where the connector of a trial's stage 1 is kept."""
    return cache / f"align-{align_id(config)}.pt"


def located(data: DataConfig, cache: Path) -> DataConfig:
    """Data config with the files of each stage: scenes are drawn, images in tables are written."""
    if data.scenes is not None:
        return scenes_data(data.scenes, cache)
    stages = {"align": data.align, "tune": data.tune, "select": data.select}
    report = tuple(with_images(task, cache) for task in data.report)
    here = {name: with_images(stage, cache) for name, stage in stages.items()}
    return data.model_copy(update=here | {"report": report})


def with_images(stage: Any, cache: Path) -> Any:
    """The config of a stage or task whose images are files: those within a table are written."""
    return with_image_files(stage, cache) if isinstance(stage, FilesConfig) else stage


def _reported(data: DataConfig) -> dict[str, Task[Any]]:
    """What trials are scored on besides, by what the names of the metrics begin with."""
    return report_split(data) | tasks_named(task for task in data.report if not task.for_winners)


def _prepared(
    task: Task[Any], prefix: str, base: VisionLanguageModel, config: TrialConfig
) -> PreparedTask:
    length = config.train.max_length
    return make_ready(task, prefix, base.conversations, seed=config.seed, max_length=length)
