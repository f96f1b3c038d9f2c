"""The NVIDIA driver of this machine and its GPUs, and which driver a build of torch needs.

Everything is asked from NVML, the library of `nvidia-smi`: torch only says that it found no GPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

GIB = 2**30
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""The oldest driver of each major version of CUDA. Source: NVIDIA, "CUDA Compatibility", Minor
Version Compatibility, table 1 (docs.nvidia.com/deploy/cuda-compatibility)."""
LEAST_CAPABILITY = {13: (7, 5)}
"""The oldest architecture of a major version of CUDA: CUDA 13.0 dropped those before Turing.
Source: CUDA Toolkit 13.0 Release Notes (docs.nvidia.com/cuda/archive/13.0.0)."""
AMPERE = (8, 0)
"""Compute capability since which GPUs have bf16 and TF32 in hardware. Source: NVIDIA, CUTLASS
documentation, Ampere architecture. FlashAttention 2 needs the same (its README)."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one that is divided (MIG)."""

    name: str
    capability: tuple[int, int]
    """Compute capability."""
    total_gib: float
    free_gib: float


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver, and the GPUs that it shows."""

    version: str = ""
    """Empty without a driver."""
    cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver supports; None if its CUDA library is not found."""
    gpus: tuple[Gpu, ...] = ()
    problem: str = ""
    """Why the driver does not answer, in its own words."""


def read_driver() -> Driver:
    """Ask the driver of this machine."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return Driver()
    except pynvml.NVMLError as error:
        return Driver(problem=str(error))
    try:
        version = str(pynvml.nvmlSystemGetDriverVersion())
        return Driver(version, _cuda(), tuple(_gpus()))
    except pynvml.NVMLError as error:
        return Driver(problem=str(error))
    finally:
        pynvml.nvmlShutdown()


def _cuda() -> tuple[int, int] | None:
    import pynvml

    try:
        number = pynvml.nvmlSystemGetCudaDriverVersion_v2()  # 12080 is 12.8; asks libcuda
    except pynvml.NVMLError:
        return None
    return number // 1000, number % 1000 // 10


def _gpus() -> Iterator[Gpu]:
    import pynvml

    for index in range(pynvml.nvmlDeviceGetCount()):
        whole = pynvml.nvmlDeviceGetHandleByIndex(index)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(whole)
        for handle in _instances(whole):
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            yield Gpu(
                str(pynvml.nvmlDeviceGetName(handle)),
                (major, minor),
                memory.total / GIB,
                memory.free / GIB,
            )


def _instances(whole: Any) -> list[Any]:
    """The instances of a divided GPU; otherwise the GPU."""
    import pynvml

    try:
        divided, _ = pynvml.nvmlDeviceGetMigMode(whole)
    except pynvml.NVMLError:  # a GPU that cannot be divided
        return [whole]
    if not divided:
        return [whole]
    found = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(whole)):
        try:
            found.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(whole, index))
        except pynvml.NVMLError_NotFound:
            continue
    return found
