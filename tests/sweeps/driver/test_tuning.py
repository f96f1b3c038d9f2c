"""Which reason a sweep is ended with, where there are two."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from lnt_core.errors import LntError
from sweeps.driver import tuning
from tests.sweeps.driver.executions import context_of
from tests.sweeps.driver.test_callback import Recorder


@pytest.mark.parametrize(("full", "told"), [(True, "is full; finished"), (False, "no score")])
def test_a_full_disk_comes_before_the_base_that_failed_for_it(
    full, told, tmp_path, monkeypatch
) -> None:
    def tuner(context, queue, callback) -> SimpleNamespace:
        def fit() -> None:
            callback.stopper.disk_is_full, callback.base.error = full, "no score"

        return SimpleNamespace(fit=fit)

    monkeypatch.setattr(tuning, "_tuner", tuner)
    with pytest.raises(LntError, match=told):
        tuning.tune_trials(context_of(tmp_path), Recorder(), Console(quiet=True), num_seeds=1)
