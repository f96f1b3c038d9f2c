"""One of several workers that load bases in parts, under torchrun.

Takes ``zero3`` or ``whole``, pairs of a model's config and a precision as JSON, and a file for what
was seen of each: the growth of each worker's own memory, and the answer to one input. The first
model has libraries loaded and buffers made, which would be counted otherwise.
"""

import gc
import json
import sys
import threading
from pathlib import Path

import torch
import transformers

from lnt_core.config import ModelConfig
from lnt_core.distributed.ranks import end_process, gather, is_first, join
from lnt_core.distributed.sharded import able_to_run, in_parts
from lnt_core.models.build import load_base


class PeakOfOwnMemory(threading.Thread):
    """Watches pages that are this process's own; those of a mapped file can be dropped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.start_bytes = self.peak_bytes = own_bytes()

    def run(self) -> None:
        while not self._over.wait(0.002):
            self.peak_bytes = max(self.peak_bytes, own_bytes())

    def growth_bytes(self) -> int:
        self._over.set()
        self.join()
        return self.peak_bytes - self.start_bytes


def own_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def load(config: dict, precision: str, deepspeed: str | None, cache: Path) -> dict:
    """Load a base and ask it; what was seen."""
    torch.manual_seed(0)
    gc.collect()
    watch = PeakOfOwnMemory()
    watch.start()
    base = load_base(
        ModelConfig.model_validate(config), cache=cache, precision=precision, deepspeed=deepspeed
    )
    told = {
        "growth": gather(watch.growth_bytes()),
        "in_parts": sorted(n for n, p in base.model.named_parameters() if in_parts(p)),
        "dtypes": sorted({str(t.dtype) for t in (*base.model.parameters(), *base.model.buffers())}),
    }
    model = able_to_run(base.trial_copy(), deepspeed)
    image = base.conversations.tokenizer.convert_tokens_to_ids(base.conversations.image_token)
    count = base.conversations.num_image_tokens
    ids = torch.tensor([[1, *[image] * count, 5, 6, 7]])
    with torch.no_grad():
        shape = (1, count, base.tower.config.hidden_size)
        pixels = torch.linspace(-1, 1, shape[1] * shape[2]).reshape(shape)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        logits = model(input_ids=ids, pixel_values=pixels.to(dtype)).logits
    return told | {"logits": logits.float()[0, -1].tolist()}


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    how, asked, seen = sys.argv[1:]
    deepspeed = None if how == "whole" else how
    if deepspeed:
        join("cpu")
    told = [load(*case, deepspeed, Path(seen).parent) for case in json.loads(asked)]
    if is_first():
        Path(seen).write_text(json.dumps(told))
    end_process()


if __name__ == "__main__":
    main()
