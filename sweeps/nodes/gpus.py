"""Judges the GPUs of a node: driver, build of torch, architecture, free memory."""

import math
from collections.abc import Iterator, Sequence

from sweeps.nodes.facts import NodeFacts
from sweeps.nodes.needs import Needs
from sweeps.nodes.nvidia import AMPERE, LEAST_CAPABILITY, OLDEST_DRIVER, Gpu
from sweeps.plan.labels import counted

BUILDS = "https://pytorch.org/get-started/locally"
"""Where builds of torch for each version of CUDA are listed."""


def gpu_problems(
    facts: NodeFacts, needs: Needs, *, counted_by_ray: float, in_use: bool
) -> Iterator[str]:
    """Why trials cannot use the GPUs of a node.

    Args:
        facts: The node's facts.
        needs: What trials need.
        counted_by_ray: GPUs that Ray counts on the node.
        in_use: Whether Ray has given some of them to someone: their memory is then not free.
    """
    if facts.torch_hip:
        return  # AMD's GPUs have no NVIDIA driver
    if "torch" in facts.versions and not facts.torch_cuda:
        yield (
            f"torch {facts.versions['torch']} is built without CUDA and cannot use a GPU: install "
            f"a build with CUDA, as PyPI's is ({BUILDS})"
        )
    elif "torch" in facts.versions and (problem := _driver_problem(facts)):
        yield problem
        return
    gpus, major = facts.driver.gpus, _major(facts.torch_cuda)
    reasons = {}
    for index, gpu in enumerate(gpus):
        if reason := _unfit(gpu, major, needs) or ("" if in_use else _occupied(gpu, needs)):
            reasons[index] = reason
    places = math.ceil(counted_by_ray)
    if len(gpus) - len(reasons) < places:
        if len(gpus) < places:
            yield f"Ray counts {counted(places, 'GPU')}, but the driver shows {len(gpus)}"
        yield from (f"GPU {index}, {gpus[index].name}, {why}" for index, why in reasons.items())


def gpu_warnings(gpus: Sequence[Gpu], needs: Needs) -> Iterator[str]:
    """Strategies whose trials are predicted not to fit the largest of these GPUs."""
    if not gpus:
        return
    room_gib = max(gpu.total_gib for gpu in gpus) * needs.gpu_share
    for strategy, peak_gib in needs.peaks_gib.items():
        if peak_gib > room_gib:
            yield (
                f"{strategy}: predicted {peak_gib:.3g} GiB, but a trial has {room_gib:.3g} GiB of "
                "a GPU; `lnt plan` shows what would fit"
            )


def _driver_problem(facts: NodeFacts) -> str:
    """What is wrong with the driver, for a torch that is built for CUDA."""
    driver, built = facts.driver, f"torch {facts.versions['torch']} (CUDA {facts.torch_cuda})"
    major = _major(facts.torch_cuda)
    oldest = f"{OLDEST_DRIVER[major]} or newer" if major in OLDEST_DRIVER else "for that CUDA"
    if driver.problem:
        said = driver.problem.rstrip(".")
        return (
            f"the NVIDIA driver does not answer: {said}. {built} needs driver {oldest}; reboot "
            "after installing it"
        )
    if not driver.version:
        return (
            f"there is no NVIDIA driver (libnvidia-ml.so.1 is not found): {built} needs driver "
            f"{oldest}; in a container also the NVIDIA container toolkit (docker run --gpus all)"
        )
    if driver.cuda is None:
        return (
            f"NVIDIA driver {driver.version} is there, but its CUDA library (libcuda.so.1) is not: "
            "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility"
        )
    if driver.cuda[0] < major:
        has = f"{driver.cuda[0]}.{driver.cuda[1]}"
        return (
            f"NVIDIA driver {driver.version} supports CUDA {has} at most, but {built} needs driver "
            f"{oldest}: install it, or a torch that is built for CUDA {driver.cuda[0]} ({BUILDS})"
        )
    return ""


def _major(cuda: str) -> int:
    return int(cuda.partition(".")[0] or 0)


def _unfit(gpu: Gpu, major: int, needs: Needs) -> str:
    """Why trials cannot run on a GPU of this architecture."""
    has = f"has compute capability {gpu.capability[0]}.{gpu.capability[1]}"
    least = LEAST_CAPABILITY.get(major, (0, 0))
    if gpu.capability < least:
        return (
            f"{has}, but torch is built for CUDA {major}, which needs {least[0]}.{least[1]}: "
            f"install a torch that is built for CUDA {major - 1} ({BUILDS})"
        )
    if needs.since_ampere and gpu.capability < AMPERE:
        needed = f"{needs.since_ampere[0]} needs {AMPERE[0]}.{AMPERE[1]}"
        return f"{has}, but {needed}: change it, or give trials newer GPUs"
    return ""


def _occupied(gpu: Gpu, needs: Needs) -> str:
    """Why trials that would fit the GPU do not fit the memory that is free."""
    fitting = {
        name: peak
        for name, peak in needs.peaks_gib.items()
        if peak <= gpu.total_gib * needs.gpu_share
    }
    if not fitting:
        return ""
    largest = max(fitting, key=fitting.__getitem__)
    at_once = math.floor(1 / needs.gpu_share)
    wanted_gib = fitting[largest] * at_once
    if gpu.free_gib >= wanted_gib:
        return ""
    trials = counted(at_once, "trial")
    return (
        f"has {gpu.free_gib:.3g} of {gpu.total_gib:.3g} GiB free, but {trials} of {largest} at "
        f"once will need {wanted_gib:.3g} GiB: end what else runs there (`nvidia-smi` lists it)"
    )
