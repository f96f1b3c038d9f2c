"""A process that fills a store of features: parts of the model, folder, images.

It prints ``ready``, waits for a line, and prints a line for each image that goes through its tower.
"""

import argparse
import os
import signal
from pathlib import Path

import torch

from lnt_core import files
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from tests.parts import model_config


def main() -> None:
    """Fill the store, and be killed at the third image if told to."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs=2)
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--die-at", choices=["tower", "rename"])
    args = parser.parse_args()
    torch.manual_seed(0)
    base = load_base(model_config(tuple(args.parts)), cache=args.folder / "unused")
    torch.set_num_threads(int(os.environ["FILL_THREADS"]))
    through, compute, rename = [], type(base).through_tower, os.replace

    def told(self, pixels):
        through.append(pixels)
        print("through", flush=True)
        if args.die_at == "tower" and len(through) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(self, pixels)

    def replaced(source, target) -> None:
        if args.die_at == "rename" and len(through) == 3 and str(target).endswith(".features"):
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    type(base).through_tower = told
    files.os.replace = replaced
    store = FeatureStore(base, max_bytes=2**20, folder=args.folder)
    print("ready", flush=True)
    input()
    for path in args.images:
        store.get([(path,)])


if __name__ == "__main__":
    main()
