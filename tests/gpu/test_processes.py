"""Trials and collectives in processes of their own, which see one GPU or several."""

import pytest

from tests.gpu.shapes import chosen
from tests.gpu.trials import STEPS, run_module
from tests.lnt_core.launch import torchrun

pytestmark = pytest.mark.gpu
SHAPE = chosen()


@pytest.mark.needs("two gpus")
def test_collectives(row) -> None:
    """Collectives between two GPUs"""
    told = run_module([*torchrun(2), "tests.gpu.all_reduce", SHAPE.device])
    backend, rate = told.split()[-2:]
    row(f"{backend}, 2 processes: all_reduce, GB/s", float(rate))


@pytest.mark.needs("two gpus")
def test_resumed_with_fewer_gpus(bench, row, tmp_path) -> None:
    """A trial that saw two GPUs and resumes where it sees one"""
    config = bench.config("lora", deterministic=True)
    whole = bench.apart(config).losses
    begun = bench.apart(config, out=tmp_path, stop_after=STEPS - 1, CUDA_VISIBLE_DEVICES="0,1")
    rest = bench.apart(config, out=tmp_path, CUDA_VISIBLE_DEVICES="0")
    same = begun.losses + rest.losses == whole
    row("resumed with one GPU of two", same, "as undisturbed", same)
