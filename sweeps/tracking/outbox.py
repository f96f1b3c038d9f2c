"""A thread that sends orders to a server, in order, and retries while it is unreachable."""

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from lnt_core.errors import LntError
from sweeps.storage.full_disk import is_disk_full

Answered = TypeVar("Answered")
logger = logging.getLogger(__name__)
AWAY = {
    "ChunkedEncodingError",
    "ConnectionError",
    "HTTPClientError",
    "OperationalError",
    "RetryError",
    "Timeout",
    "TimeoutError",
    "TransportError",
}
"""Errors of a server or database that does not answer, by the names of their classes: of Python,
requests, SQLAlchemy and the clients of object stores, which need not be installed."""
GONE = ("no such table", "readonly database")
"""What SQLite also reports as an operational error: its file was deleted or may not be written."""
AWAY_CODES = {
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's codes of errors that pass."""
HTTP_AWAY = (429, 500, 502, 503, 504)
SERVER_ERROR = "INTERNAL_ERROR"
SERVER_ERROR_S = 600.0
"""How long an order is repeated that makes the server fail: its database may be restarting, but
the order may also be what it fails on."""
POLL_S = 0.5
MIN_DELAY_S = 1.0
MAX_DELAY_S = 30.0
"""Longest delay between two attempts while the server is unreachable; each is twice the last."""
JOIN_S = 10.0
"""Seconds after which :meth:`Outbox.close` reports that it is still waiting."""
PATIENCE_S = 30.0
"""For :meth:`Outbox.close` when a signal ends the command, or a full disk, on which MLflow's store
may be too. The command that resumes sends the rest."""


class Outbox:
    """A queue of orders (functions that call the server), carried out by one thread.

    Any thread may add orders, without blocking. While the server is away, an order is repeated from
    its start, so it must be harmless to carry out a part of it twice. An order that fails for any
    other reason would fail again: it is logged and dropped.

    Args:
        name: The thread's name.
        routine: Called about every ``POLL_S`` seconds, each time before the waiting orders.
    """

    def __init__(self, name: str, routine: Callable[[], None]) -> None:
        self._routine = routine
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._awaited = threading.Event()
        """Somebody waits: the next round begins at once."""
        self._hurried = threading.Event()
        self.refused: list[str] = []
        """Why orders were dropped, each reason once."""
        self.gone = ""
        """How the store was found to be deleted or not writable; else empty."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.busy_s = 0.0
        """CPU seconds used by the thread so far."""
        self._thread.start()

    def put(self, order: Callable[[], None]) -> None:
        """Add an order; it is carried out after those added before it."""
        self._orders.put(order)

    def flush(self) -> None:
        """Wait until every order added so far is carried out."""
        done = threading.Event()
        self._orders.put(done.set)
        self._awaited.set()
        while not done.wait(timeout=1):
            pass

    def ask(self, question: Callable[[], Answered]) -> Answered:
        """What ``question`` returns, after the orders added so far; raises what it fails with."""
        answer: Future[Answered] = Future()

        def order() -> None:
            try:
                answer.set_result(question())
            except Exception as error:
                if is_away(error):
                    raise
                answer.set_exception(error)

        self.put(order)
        self._awaited.set()
        while not answer.done():  # waiting without a timeout blocks Ctrl-C
            wait([answer], timeout=1)
        return answer.result()

    def close(self, *, waiting: Callable[[], None], patience_s: float | None = None) -> None:
        """Wait until the remaining orders are carried out, then end the thread.

        Args:
            waiting: Called once if this takes longer than ``JOIN_S`` seconds.
            patience_s: Return after this many seconds even if orders remain; ``waiting`` is not
                called then, and orders that a full disk does not allow are left out at once.
                None waits without limit.
        """
        if patience_s is not None:
            self._hurried.set()
        self._stopping.set()
        self._awaited.set()
        self._thread.join(timeout=JOIN_S if patience_s is None else patience_s)
        if self._thread.is_alive() and patience_s is None:
            waiting()
            while self._thread.is_alive():  # join() without a timeout blocks Ctrl-C
                self._thread.join(timeout=1)

    def _work(self) -> None:
        while True:
            stopping = self._stopping.is_set()
            self._insist(self._routine)
            while not self._orders.empty():
                self._insist(self._orders.get())
            self.busy_s = time.thread_time()
            if stopping and self._orders.empty():
                return
            self._awaited.wait(POLL_S)
            self._awaited.clear()  # what it was set for is in the queue

    def _insist(self, action: Callable[[], None]) -> None:
        delay_s, began_s = MIN_DELAY_S, time.monotonic()
        while True:
            hurried = self._hurried.is_set()
            try:
                return action()
            except Exception as error:  # noqa: BLE001  a failing server may raise anything
                if hurried and is_disk_full(error):
                    return None  # what comes after it may need no space
                if time.monotonic() - began_s >= _patience_s(error):
                    return self._drop(error)
                logger.warning("MLflow: %s; retrying in %.0f s", str(error)[:200], delay_s)
                self._wait(delay_s, hurried=hurried)
                delay_s = min(delay_s * 2, MAX_DELAY_S)

    def _wait(self, delay_s: float, *, hurried: bool) -> None:
        """Wait before the next attempt, but begin it at once when haste is called for meanwhile."""
        if hurried:
            time.sleep(delay_s)
        else:
            self._hurried.wait(delay_s)

    def _drop(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"[:200]
        if _is_gone(error):
            self.gone = next(text for text in GONE if text in str(error))
        if reason not in self.refused:
            known = _is_gone(error) or hasattr(error, "error_code") or isinstance(error, LntError)
            trace = None if known else error
            logger.error("MLflow: %s; this is left out", reason, exc_info=trace)
            self.refused.append(reason)


def is_away(error: BaseException) -> bool:
    """Whether an error says that the server cannot be reached or is busy, or the disk is full."""
    return _patience_s(error) == math.inf


def _patience_s(error: BaseException) -> float:
    """Seconds for which an order that fails with this error is repeated."""
    if _is_gone(error):
        return 0.0
    code = getattr(error, "error_code", "")
    if code in AWAY_CODES or is_disk_full(error):
        return math.inf
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", 0)
        if AWAY & {kind.__name__ for kind in type(cause).__mro__} or status in HTTP_AWAY:
            return math.inf
        cause = cause.__cause__ or cause.__context__
    return SERVER_ERROR_S if code == SERVER_ERROR else 0.0


def _is_gone(error: BaseException) -> bool:
    return any(text in str(error) for text in GONE)
