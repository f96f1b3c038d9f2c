"""Arguments shared by several commands of `lnt`."""

import argparse

from sweeps.config import SweepConfig
from sweeps.plan.load import load_sweep
from sweeps.settings import read_settings

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``SWEEP`` and ``--set``."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep file, or the name of a preset")
    override_argument(parser)


def override_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--set``."""
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="key.path=value",
        help="override one value of the sweep file (repeatable)",
    )


def name_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``NAME`` and ``--tracking-uri``, which identify a sweep in a tracking store."""
    parser.add_argument("name", metavar="NAME", help="name of the sweep")
    tracking_argument(parser)


def tracking_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--tracking-uri``."""
    parser.add_argument(
        "--tracking-uri",
        help="URI of the MLflow tracking store "
        f"(default: MLFLOW_TRACKING_URI, else {DEFAULT_TRACKING_URI})",
    )


def tracking_uri(args: argparse.Namespace) -> str:
    """The tracking store's URI: from ``--tracking-uri``, the environment, or the default."""
    return args.tracking_uri or read_settings().tracking_uri or DEFAULT_TRACKING_URI


def load(args: argparse.Namespace) -> SweepConfig:
    """Load the sweep that ``SWEEP`` and ``--set`` specify."""
    return load_sweep(args.sweep, tuple(args.overrides))
