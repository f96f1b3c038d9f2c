"""One trial in a process of its own, or in each process of torchrun: ``-m tests.gpu.one_trial``.

Takes a JSON file with the trial, its folder, the cache, the device, and the step after which to
stop (0: none). Rank 0 writes what was reported beside the JSON file.
"""

import contextlib
import json
import sys
from pathlib import Path

import torch

from lnt_core.config import TrialConfig
from lnt_core.devices.chosen import is_torchrun, own_device
from lnt_core.distributed.ranks import end_process, is_first, join
from lnt_core.metrics import LOSS
from lnt_core.trial import run_trial
from lnt_core.worker import Worker
from tests.gpu.trials import score_by_words


def main() -> None:
    asked, out, cache, device = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    stop_after = int(sys.argv[5])
    torch.set_num_threads(1)
    score_by_words()
    config = TrialConfig.model_validate_json(asked.read_text())
    device = own_device(device)
    worker = Worker(cache, device=device)
    if config.train.deepspeed is not None or is_torchrun():
        join(device)
    losses, last = [], {}

    def report(step: int, metrics: dict[str, float]) -> None:
        last.update(metrics)
        if LOSS in metrics:
            losses.append(metrics[LOSS])
        if step == stop_after:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        run_trial(config, out=out, report=report, worker=worker)
    if is_first():
        told = {"losses": losses, "metrics": last}
        (asked.parent / "told.json").write_text(json.dumps(told))
    end_process()


if __name__ == "__main__":
    main()
