"""`lnt ui`: the MLflow dashboard on the tracking store."""

import argparse
import os
import sys

from sweeps import signals
from sweeps.cli.arguments import tracking_argument, tracking_uri
from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.passwords import redacted
from sweeps.settings import environment_with
from sweeps.tracking.store import connect


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of `lnt ui`."""
    parser.add_argument(
        "--port", type=int, default=5000, help="port of the dashboard (default: 5000)"
    )
    tracking_argument(parser)
    parser.set_defaults(command=_ui)


def _ui(args: argparse.Namespace) -> int:
    uri = tracking_uri(args)
    if uri.startswith("http"):
        print(f"The dashboard is at {redacted(uri)}")
        return EXIT_DONE
    connect(uri)
    print(f"MLflow at http://127.0.0.1:{args.port} (Ctrl-C stops it)", flush=True)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(args.port), "--workers", "1"]
    # The URI by the environment: everyone on this machine can read arguments. This replaces this
    # process, so that signals reach the server.
    signals.receive_signals()
    os.execve(sys.executable, command, environment_with(MLFLOW_BACKEND_STORE_URI=uri))
