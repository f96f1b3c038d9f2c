"""Checks of everything that only a GPU can tell: ``make gpu``, or ``python -m tests.gpu``.

Needs lnt_core's own packages (torch, transformers, peft, pydantic) and pytest; what further needs
DeepSpeed, Ray, MLflow or Java is left out where these are missing, and the table says so.
"""

import argparse
import os
import sys
from pathlib import Path

import pytest

from tests.gpu import shapes

HERE = Path(__file__).parent
PARTS = (
    "faults",
    "memory",
    "numerics",
    "strategies",
    "speed",
    "zero",
    "processes",
    "sweeps",
    "compiled",
)
"""A file ``test_PART.py`` each; in the order in which they run, for time may run out."""


def main(argv: list[str] | None = None) -> int:
    """Run the parts and write the table; returns pytest's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--table", type=Path, default=Path("out/gpu.md"), help="the table's file")
    parser.add_argument(
        "--minutes", type=float, default=20, help="after which no further check begins (20)"
    )
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    os.environ[shapes.SHAPE] = "tiny" if args.tiny else "real"
    os.environ[shapes.MINUTES] = str(args.minutes)
    os.environ[shapes.TABLE] = str(args.table.absolute())
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # whatever the machine has of them
    args.table.unlink(missing_ok=True)
    files = [str(HERE / f"test_{part}.py") for part in args.parts or PARTS]
    code = pytest.main(["-c", str(HERE / "alone.ini"), f"--confcutdir={HERE}", *files])
    if args.table.exists():
        print(f"{args.table.read_text(encoding='utf-8')}\nwritten to {args.table}")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
