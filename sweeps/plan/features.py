"""Features of training images in the plan: their room on disk, and what the vision tower does."""

from dataclasses import dataclass

from lnt_core.data.samples import load_samples
from lnt_core.devices.memory import GIB
from sweeps.config import SweepConfig
from sweeps.plan.cost import gpu_hours, num_processed
from sweeps.plan.costs import Costs


@dataclass(frozen=True)
class PlannedFeatures:
    """What trials keep of the images that they train on; stage 1 and captions are not counted."""

    num_images: int
    """Images that a trial trains on, at least once."""
    gib: float
    """GiB of the features of all of them."""
    limit_gib: float
    """`resources.feature_cache_gib`."""
    kept_share: float
    """Share of them for which that has room, 0..1."""
    once_pflop: float
    """10^15 floating-point operations of the tower for what is kept, once for all trials."""
    each_pflop: float
    """Those for what is not kept, in every trial."""
    once_gpu_hours: float | None
    """At `resources.mfu` of `resources.gpu_peak_tflops`; None if no peak is given."""
    each_gpu_hours: float | None

    def line(self) -> str:
        """The sentence for people."""
        told = f"Images: features of {self.num_images:,} take {self.gib:,.3g} GiB of disk. "
        once, each = (_within(hours) for hours in (self.once_gpu_hours, self.each_gpu_hours))
        if self.kept_share == 1:
            return f"{told}They are computed once for all trials{once}."
        kept = f"resources.feature_cache_gib: {self.limit_gib:g} has room for {self.kept_share:.0%}"
        return f"{told}{kept}; the others go through the vision tower in every trial{each}."


def planned_features(sweep: SweepConfig, costs: Costs, *, files: bool) -> PlannedFeatures | None:
    """The features of a sweep's training images; None where their size is not known.

    Args:
        sweep: The sweep.
        costs: Predicts its costs.
        files: Whether the data files may be read.
    """
    one = costs.features(sweep)
    if one is None:
        return None
    lengths = costs.lengths(sweep)
    uses = num_processed(sweep.train, lengths)
    num_images = min(_num_images(sweep, lengths.num_samples, files=files), uses)
    if not num_images:
        return None
    gib, limit_gib = num_images * one.num_bytes / GIB, sweep.resources.feature_cache_gib
    kept_share = min(1.0, limit_gib / gib)
    once, each = num_images * kept_share * one.flops, uses * (1 - kept_share) * one.flops
    return PlannedFeatures(
        num_images=num_images,
        gib=gib,
        limit_gib=limit_gib,
        kept_share=kept_share,
        once_pflop=once / 1e15,
        each_pflop=each / 1e15,
        once_gpu_hours=gpu_hours(sweep, once),
        each_gpu_hours=gpu_hours(sweep, each),
    )


def _num_images(sweep: SweepConfig, num_samples: int, *, files: bool) -> int:
    """Different images of the training data; without files one is assumed in each conversation."""
    data = sweep.trial_data
    if data.scenes is not None:
        return data.scenes.num_train
    if data.tune is None or not files:
        return num_samples
    return len({image for s in load_samples(data.tune, seed=sweep.seed) for image in s.images})


def _within(hours: float | None) -> str:
    return "" if hours is None else f", in {hours:,.3g} GPU-hours"
