"""Runs both analyses on one trial; returns metrics and writes all numbers to a file."""

from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from lnt_core import metrics as metric
from lnt_core.analysis.gradients import GradientVariance
from lnt_core.analysis.similarity import layer_similarity, mean_similarity
from lnt_core.devices.faults import has_lost_device, is_out_of_memory
from lnt_core.devices.memory import empty
from lnt_core.distributed.ranks import is_first
from lnt_core.distributed.sharded import is_sharded
from lnt_core.errors import TrialError
from lnt_core.files import write_json
from lnt_core.worker import Prepared

ANALYSIS = "analysis.json"
"""``{"layer_similarity": matrix, "gradient_variance": {"all": [...], "norms": [...]}}``."""
NUM_IMAGES = 32
"""Layer similarity is averaged over at most this many images."""
CUT_SHORT = "its layers were not analysed: the process died meanwhile"
"""Note on a trial whose process ended during the analysis."""


def try_to_analyse(
    model: nn.Module,
    prepared: Prepared,
    out: Path,
    *,
    bf16: bool,
    gradients: GradientVariance | None = None,
) -> tuple[dict[str, float], str]:
    """Same as :func:`analyse`, for a model whose weights are saved: if it fails, that is a note.

    Returns:
        The metrics, and an empty text; or none, and the reason.

    Raises:
        OSError: The file cannot be written.
        TrialError: The analysis failed, and this process cannot go on: its GPU is lost, or other
            workers wait for it in the middle of a sharded model.
    """
    try:
        return analyse(model, prepared, out, bf16=bf16, gradients=gradients), ""
    except Exception as error:
        if isinstance(error, OSError):
            raise
        note = not_analysed(error)
        if is_sharded(model) or has_lost_device(error):
            raise TrialError(note) from error
    empty(prepared.base.device)  # not before the error is gone, which holds the tensors
    return {}, note


def not_analysed(error: BaseException) -> str:
    """The note on a trial whose analysis has failed.

    Example:
        >>> not_analysed(MemoryError())
        'its layers were not analysed: out of memory (`train.analyse: false` leaves that out)'
    """
    lines = str(error).splitlines()
    why = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    why = "out of memory" if is_out_of_memory(error) else why
    return f"its layers were not analysed: {why} (`train.analyse: false` leaves that out)"


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
        prepared.base.roles,
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
