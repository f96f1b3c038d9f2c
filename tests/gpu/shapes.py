"""The two shapes in which the checks run: tiny on a CPU, real on a GPU."""

import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

SHAPE, TABLE, MINUTES = "LNT_GPU_SHAPE", "LNT_GPU_TABLE", "LNT_GPU_MINUTES"
"""Environment variables: the shape's name, the file of the table, and the time that there is."""


@dataclass(frozen=True)
class Shape:
    """What differs between a CPU, where the checks must only run, and a GPU, where they tell."""

    name: str
    device: str
    precisions: tuple[str, ...]
    strategies_each: bool
    """Whether every strategy runs, or only one."""
    language: dict[str, Any] = field(default_factory=dict)
    """Changes of the micro model's language model."""
    large: dict[str, Any] = field(default_factory=dict)
    """The same where loading is measured."""

    @property
    def num_devices(self) -> int:
        """GPUs, or the processes that stand for them on a CPU."""
        return torch.cuda.device_count() if self.on_gpu else 2

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


def _layers(hidden: int, num: int) -> dict[str, int]:
    sizes = {"hidden_size": hidden, "intermediate_size": 11 * hidden // 4 // 64 * 64}
    return sizes | {"num_hidden_layers": num, "num_attention_heads": hidden // 64}


TINY = Shape("tiny", "cpu", ("bf16",), False)
REAL = Shape("real", "cuda", ("fp32", "tf32", "bf16"), True, _layers(512, 8), _layers(4096, 5))
"""25 million weights, and a billion for loading."""
NO_GPU = "there is no GPU that torch can use; `python -m tests.gpu --tiny` runs on a CPU"


def chosen() -> Shape:
    """The shape that the environment names; the real one by default."""
    return {"tiny": TINY, "real": REAL}[os.environ.get(SHAPE, "real")]


def table_file() -> Path:
    """Where the table is written."""
    return Path(os.environ.get(TABLE, "out/gpu.md"))


def minutes() -> float:
    """After which no further check begins; without the variable there is no limit."""
    return float(os.environ.get(MINUTES, "inf"))


def is_possible(shape: Shape) -> bool:
    """Whether this machine has the shape's device."""
    return not shape.on_gpu or torch.cuda.is_available()


def has(package: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(package) is not None
