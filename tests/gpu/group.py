"""Whether a process of a group has growing segments: ``-m tests.gpu.group DEVICE FOLDER``."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import ray
import torch

from sweeps.resources import ResourcesConfig
from sweeps.worker.group import GroupTask, WorkerGroup
from sweeps.worker.process import own_worker


def look(task: GroupTask) -> dict[str, Any]:
    """In the group's process: what its allocator does, after the worker was made as for a trial."""
    device = own_worker(task.resources, task.cache).device
    seen = {"device": device, "asked": os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")}
    if torch.device(device).type == "cpu":
        return seen | {"grows": False}
    kept = torch.empty(64 * 2**20, dtype=torch.uint8, device=device)
    grows = any(segment["is_expandable"] for segment in torch.cuda.memory_snapshot())
    del kept
    return seen | {"grows": grows}


def main() -> None:
    device, folder = sys.argv[1], Path(sys.argv[2])
    on_gpu = device == "cuda"
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    resources = ResourcesConfig(gpus_per_trial=int(on_gpu))
    group = WorkerGroup(look, GroupTask(None, folder, folder, resources, folder), 1)  # no trial
    group.start()
    group.join()
    print(json.dumps(group.outcome()))
    ray.shutdown()


if __name__ == "__main__":
    main()
