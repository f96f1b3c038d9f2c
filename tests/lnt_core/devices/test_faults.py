"""Errors of a device, as torch, cuBLAS, cuDNN and NCCL word them."""

import pytest
import torch
import torch.distributed as dist

from lnt_core.devices.faults import has_lost_device, is_out_of_memory

NCCL = """NCCL error in: NCCLUtils.cpp:94, unhandled cuda error, NCCL version 2.28.9
ncclUnhandledCudaError: Call to CUDA function failed.
Last error:
Cuda failure 2 'out of memory'"""
ILLEGAL = "CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        dist.DistBackendError(NCCL),
        dist.DistBackendError(NCCL.replace("failure 2 'out", "failure 'out")),  # before NCCL 2.18
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        MemoryError(),
    ],
)
def test_lack_of_memory_is_known_in_every_wording_and_loses_no_device(error) -> None:
    assert is_out_of_memory(error)
    assert not has_lost_device(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        dist.DistBackendError(NCCL.replace("2 'out of memory'", "700 'an illegal access'")),
        torch.AcceleratorError(ILLEGAL),
        ValueError("CUDA out of memory"),
    ],
)
def test_nothing_else_is(error) -> None:
    assert not is_out_of_memory(error)


def test_a_lost_device_is_known_behind_the_error_that_hides_it() -> None:
    assert has_lost_device(torch.AcceleratorError(ILLEGAL))
    hiding = RuntimeError("the file was not closed")
    hiding.__context__ = torch.AcceleratorError(ILLEGAL)
    assert has_lost_device(hiding)
    assert not has_lost_device(RuntimeError("shapes do not fit"))
