"""Imports what takes long, and forks a process for each request: ``python server.py SOCKET``.

It ends when its standard input does, with whoever started it.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

SLOW = (
    *("peft", "accelerate", "torch._dynamo", "torch._inductor.config", "scipy.special", "pandas"),
    *("transformers.models.llama.modeling_llama", "transformers.models.llava.modeling_llava"),
    *("transformers.models.clip.modeling_clip", "pyarrow", "fsspec", "tensorboardX", "psutil"),
    *("transformers.models.clip.image_processing_pil_clip", "matplotlib.backends.backend_agg"),
    *("mlflow", "mlflow.store.tracking.sqlalchemy_store", "rich.console", "yaml", "pydantic"),
)
"""Not our code, which a test may change as it is imported; nor Ray, which reads the environment."""

PEER = (socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
"""Of a connection: id, user and group of the process at its other end."""


def main() -> None:
    """Serve; in each fork, run what was asked for as if Python had been started with it."""
    for module in SLOW:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    request, streams = _serve(sys.argv[1])
    _become(request, streams)
    runpy.run_path(sys.argv[0], run_name="__main__")


def _serve(address: str) -> tuple[dict[str, Any], list[int]]:
    """Returns in forks only, with what to run and the standard streams."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    print("ready", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    while True:
        ready, _, _ = select.select([listening, sys.stdin], [], [])
        if listening not in ready:
            os._exit(0)
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            return _keep(connection)
        connection.close()


def _keep(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork the process, and tell its id and how it ends; returns in the process itself.

    It is killed with whoever asked for it.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    content, streams, _, _ = socket.recv_fds(connection, 2**20, 3)
    while not content.endswith(b"\n"):
        content += connection.recv(2**20)
    process = os.fork()
    if process == 0:
        connection.close()
        return json.loads(content), list(streams)
    for stream in streams:
        os.close(stream)
    asked_by, _, _ = struct.unpack("3i", connection.getsockopt(*PEER))
    Path("/proc/self/comm").write_text(f"for {asked_by}")  # `with_forks` reads it
    with contextlib.suppress(OSError):  # whoever asked may be gone
        connection.sendall(f"{process}\n".encode())
        ends = os.pidfd_open(process)
        ready, _, _ = select.select([connection, ends], [], [])
        if ends not in ready:
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Take over the session, streams, folder, environment, and arguments of the request."""
    import torch

    os.setsid()  # Ray kills the group of a process
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(sys.argv[0]).parent), *(f for f in folders if f)]
    if threads := os.environ.get("OMP_NUM_THREADS"):  # which torch reads as it is imported
        torch.set_num_threads(int(threads))


if __name__ == "__main__":
    main()
