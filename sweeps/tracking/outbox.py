"""A thread that carries out orders to a server, in order, however long it is away."""

import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)
POLL_S = 0.5
MAX_DELAY_S = 30.0
"""Between two attempts while the server is away."""
JOIN_S = 10.0


class Outbox:
    """Orders are put from any thread and never block.

    Each may be carried out twice in part, if the server fails midway: it must do no harm then.

    Args:
        name: Of the thread.
        routine: Done every ``POLL_S`` seconds, and before the orders.
    """

    def __init__(self, name: str, routine: Callable[[], None]) -> None:
        self._routine = routine
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.busy_s = 0.0
        """CPU seconds that the thread has taken."""
        self._thread.start()

    def put(self, order: Callable[[], None]) -> None:
        """Have it carried out after all that was put before."""
        self._orders.put(order)

    def flush(self) -> None:
        """Wait until every order so far is carried out."""
        done = threading.Event()
        self._orders.put(done.set)
        while not done.wait(timeout=1):
            pass

    def close(self, *, waiting: Callable[[], None], patience_s: float | None = None) -> None:
        """Carry out the rest; ``waiting`` is called once if the server lets us wait.

        After ``patience_s`` the rest is left.
        """
        self._stopping.set()
        self._thread.join(timeout=JOIN_S if patience_s is None else patience_s)
        if self._thread.is_alive() and patience_s is None:
            waiting()
            while self._thread.is_alive():  # join() without a timeout would not hear Ctrl-C
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
            except Exception as error:  # noqa: BLE001  the server is not ours: try again
                logger.warning("MLflow: %s; trying again in %.0f s", str(error)[:200], delay_s)
                time.sleep(delay_s)
                delay_s = min(delay_s * 2, MAX_DELAY_S)
