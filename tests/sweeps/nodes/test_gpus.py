"""Whether trials can use a node's GPUs: every reason, in its whole message."""

from dataclasses import replace

import pytest

from sweeps.nodes.judge import problems, warnings
from sweeps.nodes.needs import Needs
from sweeps.nodes.nvidia import Driver
from tests.sweeps.nodes.nodes import DRIVER, H100, node, with_versions

ON_GPUS = Needs(uses_gpus=True, peaks_gib={"layernorm": 30.0, "full": 100.0})
BUILDS = "https://pytorch.org/get-started/locally"
T4 = replace(H100, name="Tesla T4", capability=(7, 5))
V100 = replace(H100, name="Tesla V100", capability=(7, 0))
BF16 = replace(ON_GPUS, since_ampere=("train.precision: bf16",))


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (
            Driver("570.86.15", (12, 8), (H100,)),
            "NVIDIA driver 570.86.15 supports CUDA 12.8 at most, but torch 2.13.0 (CUDA 13.0) "
            "needs driver 580 or newer: install it, or a torch that is built for CUDA 12 "
            f"({BUILDS})",
        ),
        (
            Driver(),
            "there is no NVIDIA driver (libnvidia-ml.so.1 is not found): torch 2.13.0 (CUDA 13.0) "
            "needs driver 580 or newer; in a container also the NVIDIA container toolkit (docker "
            "run --gpus all)",
        ),
        (
            Driver(problem="RM has detected an NVML/RM version mismatch."),
            "the NVIDIA driver does not answer: RM has detected an NVML/RM version mismatch. torch "
            "2.13.0 (CUDA 13.0) needs driver 580 or newer; reboot after installing it",
        ),
        (
            Driver("580.95.05", None, (H100,)),
            "NVIDIA driver 580.95.05 is there, but its CUDA library (libcuda.so.1) is not: start "
            "the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility",
        ),
    ],
    ids=["too old", "none", "does not answer", "no libcuda"],
)
def test_a_driver_that_torch_cannot_use(driver, expected) -> None:
    found = node(driver=driver)
    assert problems([found], ON_GPUS) == [f"10.0.0.1: {expected}"]
    assert problems([found], Needs(uses_gpus=False)) == []  # trials on the CPU do not care
    assert len(problems([found], Needs())) == 1  # without a sweep: Ray counts a GPU here


def test_where_ray_counts_no_gpus_the_driver_says_why() -> None:
    found = replace(node(driver=Driver(problem="Unknown Error"), gpus=0), trains=False)
    assert [line[:58] for line in problems([found], ON_GPUS)] == [
        "10.0.0.1: the NVIDIA driver does not answer: Unknown Error"
    ]
    assert problems([found, node("10.0.0.2")], ON_GPUS) == []  # a head without a GPU is as it is


@pytest.mark.parametrize("cuda", [(12, 0), (12, 9), (13, 0)])
def test_a_driver_of_the_same_major_version_or_a_newer_one_will_do(cuda) -> None:
    found = node(driver=replace(DRIVER, cuda=cuda), torch_cuda="12.8")
    assert problems([found], ON_GPUS) == []


def test_a_torch_without_cuda() -> None:
    found = node(torch_cuda="", versions=with_versions(torch="2.13.0+cpu"))
    assert problems([found], ON_GPUS) == [
        "10.0.0.1: torch 2.13.0+cpu is built without CUDA and cannot use a GPU: install a build "
        f"with CUDA, as PyPI's is ({BUILDS})"
    ]
    assert problems([node(torch_cuda="", torch_hip="7.2")], ON_GPUS) == []


@pytest.mark.parametrize(
    ("gpu", "needs", "expected"),
    [
        (
            V100,
            ON_GPUS,
            "Tesla V100, has compute capability 7.0, but torch is built for CUDA 13, which needs "
            f"7.5: install a torch that is built for CUDA 12 ({BUILDS})",
        ),
        (
            T4,
            BF16,
            "Tesla T4, has compute capability 7.5, but train.precision: bf16 needs 8.0: change it, "
            "or give trials newer GPUs",
        ),
        (
            replace(H100, free_gib=12.25),
            ON_GPUS,
            "NVIDIA H100, has 12.2 of 80 GiB free, but 1 trial of layernorm at once will need 30 "
            "GiB: end what else runs there (`nvidia-smi` lists it)",
        ),
        (
            replace(H100, free_gib=59),
            replace(ON_GPUS, gpu_share=0.5),
            "NVIDIA H100, has 59 of 80 GiB free, but 2 trials of layernorm at once will need 60 "
            "GiB: end what else runs there (`nvidia-smi` lists it)",
        ),
    ],
    ids=["too old for CUDA 13", "no bf16", "occupied", "occupied, shared by two"],
)
def test_a_gpu_that_trials_cannot_use(gpu, needs, expected) -> None:
    found = node(driver=replace(DRIVER, gpus=(gpu,)))
    assert problems([found], needs) == [f"10.0.0.1: GPU 0, {expected}"]
    # Ray was given the other one
    assert problems([node(driver=replace(DRIVER, gpus=(gpu, H100)))], needs) == []


def test_memory_is_not_judged_while_ray_has_given_a_gpu_to_someone() -> None:
    busy = replace(DRIVER, gpus=(replace(H100, free_gib=1),))
    assert problems([node(driver=busy, in_use=1)], ON_GPUS) == []


def test_gpus_that_only_ray_counts() -> None:
    assert problems([node(gpus=2)], ON_GPUS) == [
        "10.0.0.1: Ray counts 2 GPUs, but the driver shows 1"
    ]


def test_a_trial_that_is_predicted_not_to_fit_is_told_and_may_run() -> None:
    assert problems([node()], ON_GPUS) == []
    assert warnings([node()], ON_GPUS) == [
        "10.0.0.1: full: predicted 100 GiB, but a trial has 80 GiB of a GPU; `lnt plan` shows "
        "what would fit"
    ]
