"""Which of the errors of a group's workers is the trial's."""

import torch.distributed as dist

from sweeps.worker.group import WorkerDiedError, _cause

NO_MEMORY = "NCCL error: unhandled cuda error\nLast error:\nCuda failure 2 'out of memory'"
LOST = "NCCL error: remote process exited or there was a network error"


def cause_of(*errors: Exception) -> Exception:
    failed = Exception("the group failed")
    failed.worker_failures = dict(enumerate(errors))
    return _cause(failed)


def test_a_worker_whose_nccl_had_no_memory_is_not_one_that_died() -> None:
    lost, without_memory = dist.DistBackendError(LOST), dist.DistBackendError(NO_MEMORY)
    assert cause_of(lost, without_memory) is without_memory
    assert isinstance(cause_of(lost, lost), WorkerDiedError)
