"""Runs both analyses on one trial; returns metrics and writes all numbers to a file."""

from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from lnt_core import metrics as metric
from lnt_core.analysis.gradients import GradientVariance
from lnt_core.analysis.similarity import layer_similarity, mean_similarity
from lnt_core.distributed.ranks import is_first
from lnt_core.files import write_json
from lnt_core.worker import Prepared

ANALYSIS = "analysis.json"
"""``{"layer_similarity": matrix, "gradient_variance": {"all": [...], "norms": [...]}}``."""
NUM_IMAGES = 32
"""Layer similarity is averaged over at most this many images."""


def analyse(
    model: nn.Module,
    prepared: Prepared,
    out: Path,
    *,
    bf16: bool,
    gradients: GradientVariance | None = None,
) -> dict[str, float]:
    """Analyze a tuned model, write ``ANALYSIS`` and return the means as metrics.

    ``analysis/grad_variance`` covers all trained parameters in the blocks, and
    ``analysis/grad_variance_norms`` those of norms; each is left out if there are none, as for
    soft prompts or the connector alone.

    Args:
        model: The tuned model, or the base.
        prepared: Selection images and their features.
        out: Folder of ``ANALYSIS``.
        bf16: Run under bfloat16 autocast.
        gradients: Measured during training; None for a model that was not trained.
    """
    task = prepared.select
    matrix = layer_similarity(
        model,
        task.prompts[:NUM_IMAGES],
        task.images[:NUM_IMAGES],
        prepared.store,
        bf16=bf16,
    )
    content: dict[str, Any] = {"layer_similarity": matrix}
    metrics = {metric.LAYER_SIMILARITY: mean_similarity(matrix)}
    if gradients is not None:
        variance = {group: gradients.by_block(group) for group in ("all", "norms")}
        content["gradient_variance"] = variance
        for group, name in (("all", metric.GRAD_VARIANCE), ("norms", metric.GRAD_VARIANCE_NORMS)):
            known = [value for value in variance[group] if value is not None]
            if known:
                metrics[name] = fmean(known)
    if is_first():
        write_json(out / ANALYSIS, content)
    return metrics
