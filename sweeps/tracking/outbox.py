"""A thread that sends orders to a server, in order, and retries while it is unreachable."""

import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)
POLL_S = 0.5
MAX_DELAY_S = 30.0
"""Longest delay between two attempts while the server is unreachable."""
JOIN_S = 10.0
"""Seconds after which :meth:`Outbox.close` reports that it is still waiting."""


class Outbox:
    """A queue of orders (functions that call the server), carried out by one thread.

    Any thread may add orders, without blocking. If the server fails midway, an order is repeated
    from its start, so it must be harmless to carry out a part of it twice.

    Args:
        name: The thread's name.
        routine: Called about every ``POLL_S`` seconds, each time before the waiting orders.
    """

    def __init__(self, name: str, routine: Callable[[], None]) -> None:
        self._routine = routine
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
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
        while not done.wait(timeout=1):
            pass

    def close(self, *, waiting: Callable[[], None], patience_s: float | None = None) -> None:
        """Wait until the remaining orders are carried out, then end the thread.

        Args:
            waiting: Called once if this takes longer than ``JOIN_S`` seconds.
            patience_s: Return after this many seconds even if orders remain; ``waiting`` is not
                called then. None waits without limit.
        """
        self._stopping.set()
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
            self._stopping.wait(POLL_S)

    def _insist(self, action: Callable[[], None]) -> None:
        delay_s = 1.0
        while True:
            try:
                return action()
            except Exception as error:  # noqa: BLE001  a failing server may raise anything
                logger.warning("MLflow: %s; retrying in %.0f s", str(error)[:200], delay_s)
                time.sleep(delay_s)
                delay_s = min(delay_s * 2, MAX_DELAY_S)
