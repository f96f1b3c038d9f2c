"""An execution on disk whose trials end as the test says, without a process that runs them."""

from pathlib import Path

from sweeps.config import SweepConfig
from sweeps.plan.trials import SweepTrial, trials
from sweeps.storage.execution import Result, TrialStatus, new_execution
from sweeps.storage.trials import add_trial, all_trials
from sweeps.worker.context import Context


def context_of(
    folder: Path,
    *,
    seed: int = 0,
    train: dict | None = None,
    scenes: dict | None = None,
    **search,
) -> Context:
    """A new execution of a grid, its trials written to disk."""
    sweep = SweepConfig.model_validate(
        {
            "name": "s",
            "model": {"tiny": True},
            "data": {"scenes": {"num_train": 40, "num_val": 2, "num_test": 2} | (scenes or {})},
            "search": {"strategy": ["layernorm"], "learning_rate": [1e-3, 1e-4]} | search,
            "train": {"max_steps": 10, "batch_size": 8, "micro_batch_size": 8} | (train or {}),
            "tracking": {"storage": str(folder / "runs")},
            "seed": seed,
        }
    )
    context = Context(sweep, new_execution(sweep), folder / "cache")
    for trial in trials(sweep):
        add_trial(context.execution, trial)
    return context


def at_rate(context: Context, rate: float, *, train_seed: int | None = None) -> SweepTrial:
    """The one trial at that learning rate and seed."""
    (found,) = [
        trial
        for trial in all_trials(context.execution).values()
        if trial.config.learning_rate == rate and trial.config.train_seed == train_seed
    ]
    return found


def finish(context: Context, trial: SweepTrial, score: float, *, weights: bool = True) -> Result:
    """Let a trial end with that score, as its worker would."""
    result = Result(TrialStatus.FINISHED, 10, {"select/cider": score, "params/trainable": 5.0})
    if weights:
        (context.execution.trial(trial.id) / "weights").mkdir()
    context.execution.write_result(trial.id, result)
    return result
