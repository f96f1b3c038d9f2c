"""Command lines of programs with several workers."""

import sys


def torchrun(workers: int) -> list[str]:
    """The command that runs a module in this many processes; without torchrun for one."""
    if workers == 1:
        return [sys.executable, "-m"]
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    return [sys.executable, "-m", *run, "-m"]
