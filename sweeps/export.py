"""Taking the outcome home: `best.yaml`, the tuned weights and a model card; and training again."""

import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import Field, ValidationError

import lnt_core
from lnt_core.config import TrialConfig
from lnt_core.data.batches import num_steps
from lnt_core.errors import ConfigError, all_problems, bad_field
from lnt_core.frozen import Frozen
from lnt_core.strategies import STRATEGIES
from lnt_core.trial import WEIGHTS, TrialResult, model_name, run_trial
from sweeps.config import ResourcesConfig
from sweeps.execution import RAN, TRIAL, Execution
from sweeps.problems import load_yaml, validation_problems
from sweeps.selection import Sweep, Trial, read_sweep
from sweeps.space import short_rate

if TYPE_CHECKING:
    from mlflow import MlflowClient

LIBRARIES = ("torch", "transformers", "peft", "pycocoevalcap")
"""Whose versions a result depends on."""


class BestConfig(Frozen):
    """`best.yaml`: a whole trial, where it comes from, and what it scored."""

    sweep: str
    run_id: str
    """MLflow's."""
    metric: str
    score: float
    versions: dict[str, str] = Field(default_factory=dict)
    resources: ResourcesConfig
    """The threads and device it ran on; the same give the same score to the last digit."""
    trial: TrialConfig


def write_best(
    execution: Execution, sweep: Sweep, trial: Trial, resources: ResourcesConfig, path: Path
) -> None:
    """Write `best.yaml` of a trial of this execution."""
    folder = execution.trial(trial.trial_id)
    config = load_yaml(folder / (RAN if (folder / RAN).exists() else TRIAL))
    _write(path, sweep, trial, TrialConfig.model_validate(config), resources)


def export(client: "MlflowClient", name: str, strategy: str | None, out: Path) -> Trial:
    """Write `best.yaml`, weights and model card of a sweep's winner, from MLflow alone.

    Args:
        client: Of the tracking store.
        name: The sweep's.
        strategy: Whose winner; None for the best of all.
        out: A folder that does not exist yet, or is empty.

    Raises:
        ConfigError: No such winner, or ``out`` is in use.
    """
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"-o is {str(out)!r}, which is not empty; choose another folder")
    sweep = read_sweep(client, name)
    trial = _winner(sweep, strategy)
    if not client.list_artifacts(trial.run_id, WEIGHTS):
        raise ConfigError(
            f"the weights of {trial.strategy} are not in MLflow, where they go when a sweep ends; "
            f"this one is {sweep.status}: finish it with `lnt run SWEEP --resume`"
        )
    out.mkdir(parents=True, exist_ok=True)
    ran = any(file.path == RAN for file in client.list_artifacts(trial.run_id))
    name = RAN if ran else TRIAL
    config_path = Path(client.download_artifacts(trial.run_id, name, str(out)))
    config = TrialConfig.model_validate(load_yaml(config_path))
    config_path.unlink()
    client.download_artifacts(trial.run_id, WEIGHTS, str(out))
    for path in (out / WEIGHTS).iterdir():
        shutil.move(path, out / path.name)
    (out / WEIGHTS).rmdir()
    parent = client.get_run(sweep.run_id).data.params
    resources = ResourcesConfig(
        cpus_per_trial=float(parent["resources.cpus_per_trial"]),
        gpus_per_trial=float(parent["resources.gpus_per_trial"]),
    )
    _write(out / "best.yaml", sweep, trial, config, resources)
    is_adapter = (out / "adapter_config.json").is_file()
    (out / "README.md").write_text(
        model_card(sweep, trial, config, is_adapter=is_adapter), encoding="utf-8"
    )
    return trial


def _winner(sweep: Sweep, strategy: str | None) -> Trial:
    found = {winner.trial.strategy: winner.trial for winner in sweep.winners}
    if not found:
        raise ConfigError(f"the sweep {sweep.name!r} has no finished trial to export")
    if strategy is None:
        return sweep.winners[0].trial
    if strategy not in found:
        raise ConfigError(bad_field("--strategy", strategy, allowed=found))
    return found[strategy]


def _write(
    path: Path, sweep: Sweep, trial: Trial, config: TrialConfig, resources: ResourcesConfig
) -> None:
    assert trial.score is not None
    best = BestConfig(
        sweep=sweep.name,
        run_id=trial.run_id,
        metric=sweep.metric,
        score=trial.score,
        versions={"lnt": lnt_core.__version__, "python": sys.version.split()[0]}
        | {library: version(library) for library in LIBRARIES},
        resources=resources,
        trial=config,
    )
    path.write_text(yaml.safe_dump(best.model_dump(mode="json"), sort_keys=False), encoding="utf-8")


def load_best(path: Path) -> BestConfig:
    """Read `best.yaml`.

    Raises:
        ConfigError: It is not there, or not such a file.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; `lnt export NAME -o DIR` writes one")
    try:
        return BestConfig.model_validate(load_yaml(path))
    except ValidationError as error:
        raise all_problems(str(path), validation_problems(error, BestConfig)) from None


def train_best(best: BestConfig, out: Path, cache: Path) -> TrialResult:
    """Train an exported trial once more, in this process."""
    from rich.progress import Progress

    from sweeps.trainable import worker_for

    worker = worker_for(best.resources, cache)
    with Progress(transient=True) as bar:
        bar_task = bar.add_task("preparing", total=None)
        samples = worker.prepare(best.trial).samples
        train = best.trial.train
        total = num_steps(
            len(samples),
            batch_size=train.batch_size,
            epochs=train.epochs,
            max_steps=train.max_steps,
        )

        def show(step: int, metrics: dict[str, float]) -> None:
            bar.update(bar_task, completed=step, total=total, description="training")

        return run_trial(best.trial, out=out, report=show, worker=worker)


def model_card(sweep: Sweep, trial: Trial, config: TrialConfig, *, is_adapter: bool) -> str:
    """The model card in Hugging Face's form: front matter, then what, how, and how well."""
    method = STRATEGIES[trial.strategy]
    base = "-" if sweep.base_score is None else f"{sweep.base_score:.2f}"
    reported = "-" if trial.report_score is None else f"{trial.report_score:.2f}"
    return f"""---
library_name: {"peft" if is_adapter else "safetensors"}
base_model: {model_name(config)}
pipeline_tag: image-text-to-text
tags: [lnt, {trial.strategy}]
---

# {sweep.name}: {trial.strategy} at learning rate {short_rate(trial.learning_rate)}

The winner of {len(sweep.trials)} trials. Method: {method.label} ({method.source}).

| | |
|---|---|
| {sweep.metric} (CIDEr x 100) | {trial.score:.2f} |
| the untuned base on the same images | {base} |
| on the split that did not choose | {reported} |
| trainable parameters | {trial.trainable_parameters:,} ({trial.trainable_share:.3%} of all) |

## Files

- `best.yaml`: the whole configuration; `lnt train best.yaml` trains it again.
- `adapter_model.safetensors` (PEFT) or `delta.safetensors` (tensors by their names in the base).
- `base_connector.safetensors`: the connector of stage 1, part of the base.
"""
