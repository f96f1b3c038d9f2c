"""What was damaged or went wrong, for the user: written by any process, printed by the driver."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

NOTICES = "damaged.log"
"""In an execution's folder: a sentence per line."""
POLL_S = 0.5
_LOGGERS = ("lnt_core.files", "sweeps.storage.mending", "sweeps.worker.base")


@contextlib.contextmanager
def noted(execution: Path) -> Iterator[None]:
    """Write to an execution's folder what this process has to tell meanwhile."""
    handler = logging.FileHandler(execution / NOTICES, delay=True)  # appends whole lines
    handler.setLevel(logging.WARNING)
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(handler)
        handler.close()


@contextlib.contextmanager
def told(execution: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Call ``tell``, in a thread, with each sentence that any process adds meanwhile."""
    path, over = execution / NOTICES, threading.Event()
    known = path.stat().st_size if path.exists() else 0

    def follow() -> None:
        read = known
        while True:
            last = over.wait(POLL_S)
            if path.exists():
                with path.open("rb") as file:
                    file.seek(read)
                    new = file.read()
                whole = new[: new.rfind(b"\n") + 1]
                read += len(whole)
                for line in whole.decode(errors="replace").splitlines():
                    tell(line)
            if last:
                return

    thread = threading.Thread(target=follow, name="notices", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
