"""What a trial's own weights score on the tasks that only winners are scored on."""

from pathlib import Path

from torch import nn

from lnt_core.config import TrialConfig
from lnt_core.evaluation.scoring import Told, score_tasks, told_nothing
from lnt_core.strategies.weights import load_connector, load_weights
from lnt_core.worker import Worker


def score_weights(
    config: TrialConfig,
    weights: Path | None,
    out: Path,
    *,
    worker: Worker,
    told: Told = told_nothing,
    told_in: Path | None = None,
) -> dict[str, float]:
    """Score saved weights on the tasks of `data.report` for winners, or go on after a kill.

    Args:
        config: The trial's; ZeRO-3 must not shard it.
        weights: Folder of what `save_weights` and `save_connector` wrote; None: the untuned base.
        out: Folder of the rows and scores, of these weights alone.
        worker: Of this process; trials may run in it before and after.
        told: Follows the progress.
        told_in: File through which processes tell each other how many questions fit in memory.

    Returns:
        Every score, by its metric.

    Raises:
        LntError: The weights or a task cannot be read, or a task cannot be scored.
    """
    prepared, tasks = worker.prepare(config), worker.tasks_for_winners(config)
    for task in tasks:
        task.told_in = told_in
    base = prepared.base
    aligned = {name: tensor.detach().clone() for name, tensor in base.connector.items()}
    try:
        if weights is None:
            model: nn.Module = base.trial_copy()
        else:
            load_connector(base, weights)  # should stage 1 in the cache be another by now
            model = load_weights(base.trial_copy(), weights).to(base.device)
        bf16 = config.train.precision == "bf16"
        return score_tasks(model, prepared.store, tasks, out, bf16=bf16, told=told)
    finally:
        base.set_connector(aligned)
