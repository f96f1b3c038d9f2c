"""Arguments that several commands of `lnt` share."""

import argparse

from sweeps.config import SweepConfig
from sweeps.plan.load import load_sweep
from sweeps.settings import read_settings

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``SWEEP`` and ``--set``."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep file, or a preset's name")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="key.path=value",
        help="override one value (repeatable)",
    )


def name_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``NAME`` and ``--tracking-uri``: a sweep in a tracking store."""
    parser.add_argument("name", metavar="NAME", help="the sweep's name")
    tracking_argument(parser)


def tracking_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--tracking-uri``."""
    parser.add_argument(
        "--tracking-uri",
        help=f"left out: MLFLOW_TRACKING_URI, or {DEFAULT_TRACKING_URI}",
    )


def tracking_uri(args: argparse.Namespace) -> str:
    """Where to read: as told, or as the environment says."""
    return args.tracking_uri or read_settings().tracking_uri or DEFAULT_TRACKING_URI


def load(args: argparse.Namespace) -> SweepConfig:
    """The sweep that ``SWEEP`` and ``--set`` give."""
    return load_sweep(args.sweep, tuple(args.overrides))
