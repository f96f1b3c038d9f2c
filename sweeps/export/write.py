"""Writes an export: a winner's weights, `best.yaml`, files for other trainers, a model card."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from lnt_core.config import TrialConfig
from lnt_core.errors import ConfigError, bad_field
from lnt_core.models.plain import MERGED
from lnt_core.strategies.merge import check_mergeable
from lnt_core.trial import WEIGHTS
from sweeps.export.best import BEST, best_config, write_best
from sweeps.export.launch_files import write_launch_files
from sweeps.export.model_card import model_card
from sweeps.resources import ResourcesConfig
from sweeps.results.read import read_sweep
from sweeps.results.selection import Sweep, Trial
from sweeps.storage.execution import RAN, TRIAL
from sweeps.validation import check_output, create_output, load_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient


CURVE = "curve.png"
OF_WEIGHTS = ("adapter_config.json", ".safetensors")
"""Endings of the files that are taken from a run's weights; MLflow's own files are not."""


def export(
    client: "MlflowClient",
    name: str,
    strategy: str | None,
    out: Path,
    *,
    merged_with: Path | None = None,
) -> Trial:
    """Export a sweep's winner from MLflow to a folder, which is written completely or not at all.

    Args:
        client: The tracking store's client.
        name: The sweep's name.
        strategy: The strategy whose winner is exported; None for the best of all.
        out: A folder that does not exist yet, or is empty.
        merged_with: Folder that caches the tiny model; also write a merged checkpoint. None for
            no merged checkpoint.

    Returns:
        The exported trial.

    Raises:
        LntError: There is no such winner, ``out`` is not empty, or the weights cannot be merged.
    """
    check_output(out)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"-o is {str(out)!r}, which is not empty; choose another folder")
    sweep = read_sweep(client, name)
    trial = _winner(sweep, strategy)
    if merged_with is not None:
        check_mergeable(trial.strategy)
    if not client.list_artifacts(trial.run_id, WEIGHTS):
        raise ConfigError(
            f"the weights of {trial.strategy} are not in MLflow, where they are stored when a "
            f"sweep ends; this sweep is {sweep.status}: finish it with `lnt run SWEEP --resume`"
        )
    out = out.resolve()
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    create_output(draft)
    try:
        _write(client, sweep, trial, draft, merged_with)
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
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
    client: "MlflowClient", sweep: Sweep, trial: Trial, out: Path, merged_with: Path | None
) -> None:
    config = _download(client, sweep, trial, out)
    parent = client.get_run(sweep.run_id).data.params
    resources = ResourcesConfig(
        cpus_per_trial=float(parent["resources.cpus_per_trial"]),
        gpus_per_trial=float(parent["resources.gpus_per_trial"]),
        workers_per_trial=_num_workers(parent, trial.strategy),
    )
    tags = client.get_run(trial.run_id).data.tags
    best = best_config(sweep, trial, config, resources, tags)
    write_best(best, out / BEST)
    workers = resources.workers_of(trial.strategy)
    write_launch_files(config, out, on_gpu=bool(resources.gpus_per_trial), num_workers=workers)
    if merged_with is not None:
        from lnt_core.evaluation.caption import write_merged

        write_merged(config, out, out / MERGED, cache=merged_with)
    (out / "README.md").write_text(model_card(sweep, trial, best, out), encoding="utf-8")


def _num_workers(params: dict[str, str], strategy: str) -> int:
    """How many workers trained a trial of this strategy, by the parameters of the parent run."""
    key = "resources.workers_per_trial"
    return int(params.get(f"{key}.{strategy}", params.get(key, "1")))


def _download(client: "MlflowClient", sweep: Sweep, trial: Trial, out: Path) -> TrialConfig:
    """Download the weights and the figure; returns the config that the trial ran with."""
    ran = any(file.path == RAN for file in client.list_artifacts(trial.run_id))
    path = Path(client.download_artifacts(trial.run_id, RAN if ran else TRIAL, str(out)))
    config = TrialConfig.model_validate(load_yaml(path))
    path.unlink()
    downloads = out / ".downloads"
    downloads.mkdir()
    for file in client.list_artifacts(trial.run_id, WEIGHTS):
        if not file.is_dir and file.path.endswith(OF_WEIGHTS):
            here = Path(client.download_artifacts(trial.run_id, file.path, str(downloads)))
            here.rename(out / here.name)  # not every store keeps the subfolder
    shutil.rmtree(downloads)
    if any(file.path == CURVE for file in client.list_artifacts(sweep.run_id)):
        client.download_artifacts(sweep.run_id, CURVE, str(out))
    return config
