"""One of several workers that train stage 1: ``torchrun -m tests.lnt_core.training.align_worker``.

Takes a JSON file with a trial's config, a cache, and the step at which the workers are killed, if
any. Rank 0 writes the losses that it was told of beside the file.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

from lnt_core.config import TrialConfig
from lnt_core.distributed.ranks import end_process, is_first, join
from lnt_core.worker import Worker


def main() -> None:
    file = Path(sys.argv[1])
    asked = json.loads(file.read_text())
    config = TrialConfig.model_validate(asked["config"])
    torch.set_num_threads(1)
    join("cpu")
    losses: dict[int, float] = {}

    def report(step: int, metrics: dict[str, float]) -> None:
        losses[step] = metrics["train/loss"]
        if is_first():
            file.with_suffix(".losses").write_text(json.dumps(losses))
        if step == asked.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)

    Worker(Path(asked["cache"])).prepare(config, report=report)
    end_process()


if __name__ == "__main__":
    main()
