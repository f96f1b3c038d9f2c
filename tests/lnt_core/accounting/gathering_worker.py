"""One of several workers that caption with a base sharded by ZeRO-3, under torchrun.

Takes a file with a trial's config and one for what was seen: of each evaluation the captions, the
metrics, and the all-gathers of the collective backend.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from torch.profiler import ProfilerActivity, profile

from lnt_core.accounting.gathering import Gathering
from lnt_core.config import TrialConfig
from lnt_core.distributed.ranks import end_process, gather, is_first, join, rank
from lnt_core.distributed.sharded import able_to_run, in_parts
from lnt_core.trial_scores import evaluate
from lnt_core.worker import Worker

MEMORY_GIB = (None, 1e-3, None)
"""What a worker may use: enough for the whole weights, too little, and enough again."""


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    config = TrialConfig.model_validate_json(Path(sys.argv[1]).read_text())
    seen = Path(sys.argv[2])
    if config.train.deepspeed is not None:
        join("cpu")
    worker = Worker(seen.parent / "cache")
    prepared = worker.prepare(config)
    model = prepared.base.trial_copy()
    chosen = [
        Gathering.planned(model, prepared, bf16=False, memory_gib=memory_gib)
        for memory_gib in MEMORY_GIB
    ]
    able_to_run(model, config.train.deepspeed)
    told = []
    for gathering in chosen:
        out = seen.parent / f"out-{rank()}"
        out.mkdir(exist_ok=True)
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            scores = evaluate(gathering, prepared, out, bf16=False)
        gathers = sum(event.count for event in profiled.key_averages() if is_gather(event.key))
        told.append(
            {
                "scores": scores,
                "gathers": gather(gathers),
                "parts": sum(in_parts(p) for p in model.parameters()),
                "held": gather(sum(p.numel() for p in model.parameters())),
            }
        )
        if is_first():
            told[-1]["captions"] = (out / "captions_select.jsonl").read_text()
    if is_first():
        seen.write_text(json.dumps(told))
    end_process()


def is_gather(operation: str) -> bool:
    """Of tensors; those of objects go by another name."""
    return operation.startswith("c10d::_allgather_base")


if __name__ == "__main__":
    main()
