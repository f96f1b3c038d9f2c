"""What a trial of one strategy costs, and hours from operations."""

from dataclasses import dataclass

from lnt_core.accounting.lengths import Lengths
from lnt_core.accounting.predicted import StepCost
from lnt_core.config import TrainConfig
from sweeps.config import SweepConfig


@dataclass(frozen=True)
class Cost:
    """Predicted cost of a trial of one strategy, which does not depend on the learning rate."""

    trainable_parameters: int
    trainable_share: float
    trainable_by_role: dict[str, int]
    micro_batch_size: int | None
    """As given, or found for `resources.gpu_memory_gib`. None if the trial finds it on its device;
    the other values are then those of micro-batch size 1."""
    gradient_checkpointing: bool | None
    """Whether gradient checkpointing is on, as given or found in the same way. None if the trial
    finds it on its device; the other values are then those without it."""
    step: StepCost
    """One optimizer step of one worker as configured, at the longest conversations."""
    alone: StepCost
    """The same step without ZeRO, in a single process; where something is `auto`, as lean as it can
    become: at micro-batch size 1, with gradient checkpointing."""
    evaluation_gib: float
    """GiB of the weights and of what captioning allocates in addition; with evaluations midway
    also of the optimizer."""
    analysis_gib: float
    """GiB of the weights and of what the analysis of layers adds; 0 without `train.analyse`."""
    activations_gib: dict[str, float | None]
    """GiB with gradient checkpointing (``checkpointed``; None if the strategy does not support it)
    and without (``whole``)."""
    train_pflop: float
    """10^15 floating-point operations of the whole training, forward and backward, without the
    recomputation of gradient checkpointing."""
    analysis_pflop: float
    """10^15 floating-point operations of the analysis of layers."""
    gpu_hours: float | None
    """Time of training and analysis at `resources.mfu` of `resources.gpu_peak_tflops`; None if no
    peak is given."""
    too_big: str
    """Why the trial does not fit `resources.gpu_memory_gib`, or may not, and what would fit; empty
    if it fits."""

    @property
    def memory_gib(self) -> float:
        """The peak of the trial: the largest of training, captioning and analysis."""
        return max(self.step.peak_gib, self.evaluation_gib, self.analysis_gib)


def num_processed(train: TrainConfig, lengths: Lengths) -> int:
    """Samples processed in training, repetitions included."""
    return train.num_steps(lengths.num_samples) * train.batch_size


def gpu_hours(sweep: SweepConfig, flops: float) -> float | None:
    """Hours of a GPU for so many operations; None if its peak is not given."""
    peak_tflops = sweep.resources.gpu_peak_tflops
    if peak_tflops is None:
        return None
    return flops / (peak_tflops * 1e12 * sweep.resources.mfu) / 3600
