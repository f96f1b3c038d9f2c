"""Training against the GPU's stated peak."""

import pytest

from sweeps.resources import ResourcesConfig
from sweeps.worker.trainable import utilisation

MEASURED = {"compute/tflops_per_s": 60.0, "time/train_s": 100.0}


def test_the_share_of_the_peak_and_the_time_it_should_have_taken() -> None:
    stated = ResourcesConfig(gpu_peak_tflops=150.0, mfu=0.5)
    assert utilisation(MEASURED, stated) == pytest.approx(
        {"compute/mfu": 0.4, "time/predicted_train_s": 80.0}
    )


def test_without_a_stated_peak_there_is_none() -> None:
    assert utilisation(MEASURED, ResourcesConfig()) == {}
