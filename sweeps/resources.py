"""The `resources` block of a sweep file: the hardware that each trial uses."""

import math
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lnt_core.errors import bad_field
from lnt_core.frozen import Frozen
from lnt_core.strategies import STRATEGIES

MAX_DEVICES = 100_000
"""More GPUs, workers or CPUs than any cluster has."""


class ResourcesConfig(Frozen):
    """The hardware that each trial uses, and what is known about it."""

    cpus_per_trial: float = Field(default=1, gt=0, le=MAX_DEVICES)
    """CPUs of each worker of a trial."""
    gpus_per_trial: float = Field(default=0, ge=0, le=MAX_DEVICES)
    """GPUs of each worker of a trial: 0, 1 or a fraction, with which several trials share one GPU
    and each is held to its part of the memory."""
    workers_per_trial: int | dict[str, int] = 1
    """Worker processes that train one trial together with `train.deepspeed`, each with its own
    `cpus_per_trial` and `gpus_per_trial`, on one node or several. A number applies to every
    strategy; a mapping such as `{full: 4}` only to the strategies it names, and the others train in
    one process without DeepSpeed."""
    max_concurrent_trials: int | None = Field(default=None, ge=1, le=MAX_DEVICES)
    """Limit of trials that run at the same time. Default: as many as the resources allow."""
    feature_cache_gib: float = Field(default=4.0, ge=0, le=1e6)
    """Limit of the image features that are kept on disk, in the folder `features` of the cache
    (`LNT_CACHE`), by all trials and sweeps that share it. If it is reached, features of other
    models and of stage 1's own data go first, unless a running process uses them; then further
    images go through the vision tower on every use, and a warning says so. `lnt plan` says how much
    room there should be. 0: nothing is kept."""
    loader_workers: int = Field(default=1, ge=0, le=256)
    """Threads of each worker of a trial that open, scale and pad the images of its next
    micro-batches while it trains. No digit depends on them. More help if `train/data_wait_share`
    is not near 0. 0: micro-batches are made when they are due."""
    wait_for_nodes_s: float = Field(default=0.0, ge=0, le=7 * 24 * 3600)
    """Seconds that `lnt run --address` waits for an autoscaling cluster to start the nodes of the
    first trial."""
    num_gpus: int | None = Field(default=None, ge=1, le=MAX_DEVICES)
    """GPUs of the cluster. If given, `lnt plan` compares the time of running trials side by side on
    one GPU each with that of running them one after another on all GPUs. `lnt run` ignores it and
    uses the GPUs that Ray has."""
    scaling_efficiency: float = Field(default=0.9, gt=0, le=1)
    """Assumed speed of N GPUs on one trial, as a fraction of N times the speed of one GPU."""
    gpu_memory_gib: float | None = Field(default=None, gt=0, le=1e6)
    """Memory of one GPU. If given, `lnt plan` lists the trials that do not fit, and
    `train.micro_batch_size: auto` stays within it."""
    gpu_peak_tflops: float | None = Field(default=None, gt=0, le=1e9)
    """Dense peak of one GPU at `train.precision`, from its data sheet: 156 in TF32 and 312 in bf16
    for an A100. If given, `lnt plan` predicts GPU-hours."""
    mfu: float = Field(default=0.4, gt=0, le=1)
    """Assumed fraction of that peak that training reaches (model FLOPs utilization)."""

    @field_validator("workers_per_trial", mode="before")
    @classmethod
    def _workers(cls, value: Any) -> Any:
        named = value if isinstance(value, dict) else {"": value}
        for name, count in named.items():
            if name and name not in STRATEGIES:
                raise ValueError(bad_field("the strategy", name, allowed=STRATEGIES))
            is_count = isinstance(count, int) and not isinstance(count, bool)
            if not is_count or not 1 <= count <= MAX_DEVICES:
                what = f"{name}: {count!r}" if name else repr(count)
                raise ValueError(
                    f"{what} is neither a whole number from 1 to {MAX_DEVICES:,} nor a mapping of "
                    "strategies to such numbers"
                )
        return value

    @property
    def gpu_share(self) -> float:
        """The fraction of a GPU's memory that is one trial's: below 1 if trials share the GPU."""
        return self.gpus_per_trial if 0 < self.gpus_per_trial < 1 else 1.0

    @property
    def most_workers(self) -> int:
        """The largest number of workers of any trial."""
        workers = self.workers_per_trial
        return max(workers.values(), default=1) if isinstance(workers, dict) else workers

    def workers_of(self, strategy: str) -> int:
        """The number of workers of a trial of this strategy."""
        workers = self.workers_per_trial
        return workers.get(strategy, 1) if isinstance(workers, dict) else workers

    def may_use_deepspeed(self, strategy: str) -> bool:
        """Whether ``train.deepspeed`` applies to this strategy."""
        workers = self.workers_per_trial
        return not isinstance(workers, dict) or strategy in workers

    @model_validator(mode="after")
    def _one_gpu_each(self) -> Self:
        wanted = self.gpus_per_trial
        if wanted > 1:
            raise ValueError(
                f"`gpus_per_trial` is {wanted:g}, but a process trains on one GPU and would leave "
                f"the others idle: set it to 1; to train each trial on {math.ceil(wanted)} GPUs, "
                f"give `workers_per_trial: {math.ceil(wanted)}` and `train.deepspeed: zero2`"
            )
        return self
