"""Whether DeepSpeed and its operators can be used on this machine, found out in a process apart.

Importing DeepSpeed settles its device for as long as a process lives, and takes seconds.
"""

import json
import subprocess
import sys
from dataclasses import dataclass

from sweeps.settings import environment_with

PROBE_S = 120.0
"""Seconds after which an import of DeepSpeed is given up."""
PROBE = """
import json, shutil, sys
import deepspeed
from deepspeed.accelerator import get_accelerator
from deepspeed.git_version_info import accelerator_name, installed_ops
from deepspeed.ops.op_builder import cpu
here = accelerator_name == get_accelerator().device_name()
found = {}
for name in sys.argv[1:]:
    (builder,) = [b() for b in vars(cpu).values() if getattr(b, "NAME", None) == name]
    if installed_ops.get(name) and here:
        found[name] = "built"
    else:
        found[name] = "compatible" if builder.is_compatible(verbose=False) else "incompatible"
print("\\n" + json.dumps({"operators": found, "ninja": shutil.which("ninja") is not None}))
"""
"""`DeepSpeedCPUAdam` and the communication through shared memory are compiled when they are first
used, unless they were built with DeepSpeed for the same device."""


@dataclass(frozen=True)
class DeepSpeed:
    """What an import of DeepSpeed gave."""

    error: str = ""
    """Why it cannot be imported."""
    operators: dict[str, str] | None = None
    """Of each operator that was asked for: ``built``, ``compatible``, or ``incompatible``."""
    ninja: bool = False
    """Whether ninja, with which operators are compiled, is on the PATH."""

    @property
    def to_compile(self) -> list[str]:
        """Operators that will be compiled when they are first used."""
        return [name for name, state in (self.operators or {}).items() if state == "compatible"]

    @property
    def incompatible(self) -> list[str]:
        """Operators that this machine cannot have."""
        return [name for name, state in (self.operators or {}).items() if state == "incompatible"]


def probe(device: str, operators: tuple[str, ...]) -> DeepSpeed:
    """Import DeepSpeed for a device type (``cpu`` or ``cuda``), and look for its operators."""
    command = [sys.executable, "-c", PROBE, *operators]
    try:
        done = subprocess.run(
            command,
            env=environment_with(DS_ACCELERATOR=device),
            capture_output=True,
            text=True,
            timeout=PROBE_S,
        )
    except subprocess.TimeoutExpired:
        return DeepSpeed(error=f"no end of its import within {PROBE_S:g} s")
    if done.returncode:
        return DeepSpeed(error=(done.stderr.strip().splitlines() or ["no message"])[-1])
    return DeepSpeed(**json.loads(done.stdout.strip().splitlines()[-1]))
