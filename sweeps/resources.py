"""What one trial takes of the machines, as the sweep file says it."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from lnt_core.errors import bad_field
from lnt_core.frozen import Frozen
from lnt_core.strategies import STRATEGIES


class ResourcesConfig(Frozen):
    """What one trial takes of the machines."""

    cpus_per_trial: float = Field(default=1, gt=0)
    gpus_per_trial: float = Field(default=0, ge=0)
    """Below 1, so many trials share a GPU."""
    workers_per_trial: int | dict[str, int] = 1
    """Processes that train one trial together by `train.deepspeed`, each with `cpus_per_trial` and
    `gpus_per_trial` of its own, on one node or several. A number is for every strategy. A mapping,
    `{full: 4}`, is for those it names; the others train in one process, without DeepSpeed."""
    max_concurrent_trials: int | None = Field(default=None, ge=1)
    feature_cache_gib: float = Field(default=4.0, ge=0)
    """Memory of each worker for image features."""
    wait_for_nodes_s: float = Field(default=0.0, ge=0)
    """So long a cluster that starts nodes on demand may take for the first one."""
    num_gpus: int | None = Field(default=None, ge=1)
    """Of the cluster. Where it is given, `lnt plan` says which is faster: trials side by side on
    one GPU each, or one after another on all of them. `lnt run` takes what is there."""
    scaling_efficiency: float = Field(default=0.9, gt=0, le=1)
    """Speed of N GPUs on one trial, as a share of N times that of one; an assumption."""
    gpu_memory_gib: float | None = Field(default=None, gt=0)
    """Of one GPU. Where it is given, `lnt plan` says which trials do not fit, and
    `train.micro_batch_size: auto` stays within it."""
    gpu_peak_tflops: float | None = Field(default=None, gt=0)
    """Dense peak of one GPU at `train.precision`, as its data sheet says: an A100 does 156 in
    TF32 and 312 in bf16. Where it is given, `lnt plan` predicts GPU-hours."""
    mfu: float = Field(default=0.4, gt=0, le=1)
    """Share of that peak that training reaches (model FLOPs utilisation)."""

    @field_validator("workers_per_trial", mode="before")
    @classmethod
    def _workers(cls, value: Any) -> Any:
        named = value if isinstance(value, dict) else {"": value}
        for name, count in named.items():
            if name and name not in STRATEGIES:
                raise ValueError(bad_field("a strategy", name, allowed=STRATEGIES))
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                what = f"{name}: {count!r}" if name else repr(count)
                raise ValueError(
                    f"{what} is neither a whole number from 1 on, nor a mapping of strategies to "
                    "such"
                )
        return value

    @property
    def gpu_share(self) -> float:
        """Of each GPU's memory that is one trial's: trials that share a GPU share its memory."""
        return self.gpus_per_trial if 0 < self.gpus_per_trial < 1 else 1.0

    @property
    def most_workers(self) -> int:
        """Of any trial."""
        workers = self.workers_per_trial
        return max(workers.values(), default=1) if isinstance(workers, dict) else workers

    def workers_of(self, strategy: str) -> int:
        """How many processes train a trial of this strategy."""
        workers = self.workers_per_trial
        return workers.get(strategy, 1) if isinstance(workers, dict) else workers

    def may_use_deepspeed(self, strategy: str) -> bool:
        """Whether ``train.deepspeed`` is meant for this strategy."""
        workers = self.workers_per_trial
        return not isinstance(workers, dict) or strategy in workers

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.gpus_per_trial > 1 and not float(self.gpus_per_trial).is_integer():
            raise ValueError("`gpus_per_trial` above 1 must be a whole number")
        return self
