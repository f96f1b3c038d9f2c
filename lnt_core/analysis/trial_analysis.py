"""Both analyses of one trial: its metrics, and a file with all numbers."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from lnt_core import metrics as metric
from lnt_core.analysis.gradients import GradientVariance
from lnt_core.analysis.similarity import layer_similarity, mean_similarity
from lnt_core.distributed.ranks import is_first
from lnt_core.worker import Prepared

ANALYSIS = "analysis.json"
"""``{"layer_similarity": matrix, "gradient_variance": {"all": [...], "norms": [...]}}``."""
NUM_IMAGES = 32


def analyse(
    model: nn.Module,
    prepared: Prepared,
    out: Path,
    *,
    bf16: bool,
    gradients: GradientVariance | None = None,
) -> dict[str, float]:
    """Write ``ANALYSIS``; what stands in one number is returned.

    ``analysis/grad_variance`` is of all that trains in the blocks and is left out if nothing does
    there (soft prompts, the connector alone); ``analysis/grad_variance_norms`` of the norms.
    """
    task = prepared.select
    matrix = layer_similarity(
        model, task.prompt_ids, task.images[:NUM_IMAGES], prepared.store, bf16=bf16
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
        out.mkdir(parents=True, exist_ok=True)
        (out / ANALYSIS).write_text(json.dumps(content), encoding="utf-8")
    return metrics
