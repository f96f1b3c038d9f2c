"""What went wrong on a device: lack of memory in all its wordings, and a context that is lost."""

import re

import torch

WORDINGS = re.compile(
    r"CUDA out of memory"  # torch's allocator, where a library has wrapped its error
    r"|CUDA error: out of memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    r"|Cuda failure (2 )?'out of memory'"  # NCCL's, from the worker that had no memory
    r"|not enough memory: you tried to allocate|can't allocate memory"  # the host's
)
"""Messages of those errors of lack of memory that have no type of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU or the host had no memory left.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA error: out of memory"))
        True
        >>> is_out_of_memory(ValueError("shapes do not fit"))
        False
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and WORDINGS.search(str(error)) is not None


def has_lost_device(error: BaseException) -> bool:
    """Whether this process can no longer use its GPU.

    After an illegal access or a failed assertion in a kernel, every later call to CUDA fails with
    the same error until the process ends. Lack of memory does not have this effect.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, torch.AcceleratorError) and not is_out_of_memory(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
