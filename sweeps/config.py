"""The typed config of a sweep file: every key, its meaning and its default."""

import warnings
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from lnt_core.config import AlignConfig, DataConfig, ModelConfig, ScenesConfig, TuneConfig
from lnt_core.config.bounds import Seed
from lnt_core.frozen import Frozen
from sweeps.passwords import has_password, place_of_password, redacted
from sweeps.resources import MAX_DEVICES, ResourcesConfig
from sweeps.search_space import SearchConfig


class BudgetConfig(Frozen):
    """Limits of the whole sweep; a trial that would exceed one is not started."""

    trials: int | None = Field(default=None, ge=1)
    """Number of trials to start, including those before a `--resume`."""
    wall_clock_h: float | None = Field(default=None, gt=0, le=1e6)
    """Hours since the start of `lnt run`; `--resume` starts at zero again."""
    gpu_hours: float | None = Field(default=None, gt=0, le=1e9)
    """GPU-hours of all trials together and of stage 1, including those before a `--resume`."""


# Pydantic warns of `register` because abstract classes have a method of that name; none is used.
warnings.filterwarnings("ignore", 'Field name "register"', UserWarning)


class TrackingConfig(Frozen):
    """Where the results of a sweep are stored."""

    uri: str = "sqlite:///mlflow.db"
    """MLflow tracking URI; a relative path is relative to the working directory. A password in it
    is refused. It is read from `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD` or
    `~/.mlflow/credentials` for a server (`http://HOST:5000`), from `PGPASSWORD` or `~/.pgpass` for
    PostgreSQL, and for MySQL from an option file: `?read_default_file=/home/me/.my.cnf`."""
    storage: str = "lnt_runs"
    """Folder of checkpoints, captions and weights. On a cluster, every node must see it."""
    system_metrics_every_s: float = Field(default=10.0, ge=0, le=3600)
    """Seconds between samples of the CPU, memory and GPU use of a trial's node, at least 0.1; 0: no
    samples."""
    register: Literal["winners", "none"] = "winners"
    """Whether the winners become versions of a model in MLflow's Model Registry. Their weights are
    logged to their runs in either case, and can be exported."""

    @field_validator("system_metrics_every_s")
    @classmethod
    def _not_all_the_time(cls, seconds: float) -> float:
        if 0 < seconds < 0.1:
            raise ValueError(f"{seconds:g} is neither 0 nor at least 0.1")
        return seconds

    @field_validator("uri")
    @classmethod
    def _without_password(cls, uri: str) -> str:
        if has_password(uri):
            raise ValueError(
                f"{redacted(uri)!r} contains a password, which would be stored with the results; "
                f"remove it (USER@HOST may stay) and {place_of_password(uri)}"
            )
        return uri


AS_THE_SWEEP = ("seed", "precision", "deterministic")
"""Keys of `align` that follow the sweep where they are not given."""


class SweepAlignConfig(AlignConfig):
    """Training config of stage 1: the connector alone, before any strategy.

    The paper uses a learning rate of 2e-3 and 3 epochs.
    """

    workers: int | None = Field(default=None, ge=1, le=MAX_DEVICES)
    """Worker processes that train stage 1 together, each with the `cpus_per_trial` and
    `gpus_per_trial` of `resources`. They share the `batch_size` samples of a step, and losses
    differ by rounding only. Default: the largest number of workers of any trial."""

    @model_validator(mode="after")
    def _work_for_all(self) -> Self:
        if self.workers is not None and self.workers > self.batch_size:
            raise ValueError(
                f"`workers` ({self.workers}) must be at most `batch_size` ({self.batch_size}): the "
                "others would have no sample"
            )
        return self

    @model_serializer(mode="wrap")
    def _given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a default that is not the value: read again, it would pass for a given one."""
        given = self.model_fields_set
        return {k: v for k, v in dump(self).items() if k in given or k not in AS_THE_SWEEP}


class SweepConfig(Frozen):
    """The content of a sweep file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """Name of the sweep and of its MLflow experiment."""
    model: ModelConfig
    data: DataConfig | None = None
    """Default: drawn scenes for the tiny model; required for any other."""
    align: SweepAlignConfig | None = None
    """Stage 1. Default: every key of it at its default, or none for `model.checkpoint`,
    whose connector is already aligned."""
    search: SearchConfig
    train: TuneConfig = TuneConfig()
    resources: ResourcesConfig = ResourcesConfig()
    budget: BudgetConfig = BudgetConfig()
    tracking: TrackingConfig = TrackingConfig()
    seed: Seed = 0

    @model_validator(mode="before")
    @classmethod
    def _precision_of_the_device(cls, values: Any) -> Any:
        """Trials on GPUs compute in bf16 unless the sweep says otherwise."""
        if not isinstance(values, dict):
            return values
        train, resources = values.get("train", {}), values.get("resources", {})
        gpus = resources.get("gpus_per_trial", 0) if isinstance(resources, dict) else 0
        if not isinstance(train, dict) or "precision" in train or not gpus:
            return values
        return {**values, "train": {**train, "precision": "bf16"}}

    @model_validator(mode="after")
    def _data_given(self) -> Self:
        if self.data is None and not self.model.tiny:
            raise ValueError("missing `data`: only the tiny model works without it")
        if self.train.precision == "tf32" and self.resources.gpus_per_trial == 0:
            raise ValueError(
                "`train.precision` is 'tf32', which only NVIDIA GPUs have, but "
                "`resources.gpus_per_trial` is 0; use 'fp32' or 'bf16', or give trials a GPU"
            )
        if self.budget.gpu_hours is not None and self.resources.gpus_per_trial == 0:
            raise ValueError(
                "`budget.gpu_hours` is given, but `resources.gpus_per_trial` is 0: trials use no "
                "GPU; limit `budget.wall_clock_h`, or give trials a GPU"
            )
        return self

    @model_validator(mode="after")
    def _workers_make_sense(self) -> Self:
        resources, sharded = self.resources, self.is_distributed
        if resources.most_workers > 1 and not sharded:
            raise ValueError(
                f"`resources.workers_per_trial` is {resources.workers_per_trial}, but several "
                "workers need DeepSpeed: give `train.deepspeed: zero1`, zero2 or zero3"
            )
        if isinstance(resources.workers_per_trial, dict) and not sharded:
            raise ValueError(
                "`resources.workers_per_trial` names strategies that train with DeepSpeed: give "
                "`train.deepspeed: zero1`, zero2 or zero3"
            )
        if sharded and resources.gpus_per_trial not in (0, 1):
            raise ValueError(
                f"`resources.gpus_per_trial` is {resources.gpus_per_trial:g}, but with "
                "`train.deepspeed` each worker uses one GPU: set it to 1, and give the number of "
                "workers as `resources.workers_per_trial`"
            )
        if self.align_workers > 1 and resources.gpus_per_trial not in (0, 1):
            raise ValueError(
                f"`align.workers` is {self.align_workers}, but `resources.gpus_per_trial` is "
                f"{resources.gpus_per_trial:g}: several workers of stage 1 use one GPU each; set "
                "it to 1, or `align.workers` to 1"
            )
        if sharded and self.search.scheduler == "asha":
            raise ValueError(
                "`search.scheduler: asha` does not work with `train.deepspeed`; set "
                "`search.scheduler: none`"
            )
        return self

    @property
    def is_distributed(self) -> bool:
        """Whether any trial trains with DeepSpeed."""
        varied = self.search.values.get("train.deepspeed", ())
        return self.train.deepspeed is not None or any(value is not None for value in varied)

    @property
    def align_workers(self) -> int:
        """Worker processes that train stage 1 together."""
        given = self.align.workers if self.align is not None else None
        return given if given is not None else self.resources.most_workers

    @property
    def trial_data(self) -> DataConfig:
        """The data config of each trial: `data`, or drawn scenes."""
        return self.data if self.data is not None else DataConfig(scenes=ScenesConfig())

    @property
    def trial_align(self) -> AlignConfig | None:
        """The stage 1 config of each trial; seed and precision default to those of the sweep."""
        if self.align is None and self.model.checkpoint is not None:
            return None
        given = self.align.model_dump(exclude={"workers"}, exclude_unset=True) if self.align else {}
        same = {"seed": self.seed} | self.train.model_dump(include={*AS_THE_SWEEP})
        return AlignConfig.model_validate(same | given)
