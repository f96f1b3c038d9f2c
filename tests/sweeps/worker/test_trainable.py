"""Training against the GPU's stated peak, and what an error makes of a trial."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from lnt_core.analysis.trial_analysis import CUT_SHORT
from lnt_core.errors import TrialError
from lnt_core.outcome import TrialResult, write_result
from sweeps.plan.trials import trials
from sweeps.resources import ResourcesConfig
from sweeps.storage.execution import Execution, Result, TrialStatus
from sweeps.storage.trials import add_trial
from sweeps.worker.trainable import _ended_by, utilisation
from tests.sweeps.executions import tiny_sweep

MEASURED = {"compute/tflops_per_s": 60.0, "time/train_s": 100.0}


def test_the_share_of_the_peak_and_the_time_it_should_have_taken() -> None:
    stated = ResourcesConfig(gpu_peak_tflops=150.0, mfu=0.5)
    assert utilisation(MEASURED, stated) == pytest.approx(
        {"compute/mfu": 0.4, "time/predicted_train_s": 80.0}
    )


def test_without_a_stated_peak_there_is_none() -> None:
    assert utilisation(MEASURED, ResourcesConfig()) == {}


def test_an_error_of_the_analysis_alone_fails_no_trial(tmp_path) -> None:
    """As after an illegal access on a GPU, or in a model whose shards other workers wait for."""
    trial, _ = trials(tiny_sweep(tmp_path, "sqlite:///none.db"))
    context = SimpleNamespace(execution=Execution(tmp_path))
    add_trial(context.execution, trial)
    error = TrialError("its layers were not analysed: AcceleratorError: CUDA error")
    before = _ended_by(error, trial.id, context, step=7)
    assert before == Result(TrialStatus.FAILED, 7, error=str(error))
    parts = ("time/prepare_s", "time/train_s", "time/evaluate_s")
    ran = {"train/micro_batch_size": 8, "train/gradient_checkpointing": 0.0}
    metrics = dict.fromkeys(parts, 2.0) | ran | {"select/cider": 3.0}
    left = TrialResult("finished", 9, metrics, note=CUT_SHORT)
    folder = context.execution.trial(trial.id)
    (folder / "weights").mkdir()
    write_result(left, trial.config, folder)
    found = _ended_by(error, trial.id, context, step=9)
    assert found == Result(TrialStatus.FINISHED, 9, metrics, note=str(error), took_s=6.0)
    analysed = replace(left, note="")
    write_result(analysed, trial.config, folder)
    assert _ended_by(error, trial.id, context, step=9).note == ""
