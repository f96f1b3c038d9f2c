"""How tests start programs of several workers."""

import sys


def torchrun(workers: int) -> list[str]:
    """The command before a module's name; one worker is a plain process."""
    if workers == 1:
        return [sys.executable, "-m"]
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    return [sys.executable, "-m", *run, "-m"]
