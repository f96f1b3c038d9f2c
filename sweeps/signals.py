"""SIGINT, SIGTERM and SIGHUP: a command that gets one of them closes what is open, and ends.

One thread waits for these signals, and all others block them. So it does not matter which handlers
Ray installs, whether a shell started the command with SIGINT ignored, or whether it is process 1 of
a container. The thread makes the main thread raise :class:`Interrupted`.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WAKE = signal.SIGURG
"""Sent to the main thread, to end what it waits for. By default it is ignored."""
INSIST_S = 2.0
"""Seconds after which :class:`Interrupted` is raised again, if a library has swallowed it."""
ECHO_S = 0.25
"""A signal within this many seconds of the first is the same one: a terminal that closes, and a
program that forwards to its children, send it twice."""


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end."""


class _Watch:
    """What was received, and whether the main thread may be interrupted."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.arrived = threading.Event()
        self.held = 0
        self.apart = False
        self.advice = ""
        self._first_at_s: dict[signal.Signals, float] = {}

    def start(self) -> None:
        # With nohup, SIGHUP is ignored on purpose; SIGINT is for every command started with `&`.
        keep = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self.watched = [s for s in SIGNALS if s != signal.SIGHUP or not keep]
        signal.pthread_sigmask(signal.SIG_BLOCK, self.watched)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # children inherit it
        signal.signal(WAKE, self.wake_up)
        os.register_at_fork(after_in_child=self.in_child)
        self._report = sys.unraisablehook
        sys.unraisablehook = self._unraisable
        threading.Thread(target=self._wait, name="signals", daemon=True).start()

    def wake_up(self, *_: Any) -> None:
        """Raise what was received, in the main thread."""
        if self.received is not None and not self.held:
            raise Interrupted(self.received.name)

    def in_child(self) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.watched)
        if self.apart:
            os.setpgid(0, 0)

    def _wait(self) -> None:
        while True:
            if self.received is None:
                self._handle(signal.Signals(signal.sigwait(self.watched)))
            elif (info := signal.sigtimedwait(self.watched, INSIST_S)) is not None:
                self._handle(signal.Signals(info.si_signo))
            self._interrupt_main()

    def _handle(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            _leave_terminal()
        now_s = time.monotonic()
        if now_s - self._first_at_s.setdefault(number, now_s) > ECHO_S:
            self._end_at_once(number)
        if self.received is None:
            self.received = number
            self.arrived.set()

    def _interrupt_main(self) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, WAKE)

    def _end_at_once(self, number: signal.Signals) -> None:
        show_cursor = "\x1b[?25h" if os.isatty(2) else ""
        line = f"{show_cursor}lnt: ended at once by a second {number.name}. {self.advice}"
        with contextlib.suppress(OSError):
            os.write(2, (line.rstrip() + "\n").encode())
        os._exit(128 + number)

    def _unraisable(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Raise again what was raised in a destructor, which nobody can catch."""
        if isinstance(unraisable.exc_value, Interrupted):
            self._interrupt_main()
        else:
            self._report(unraisable)


_watch = _Watch()


def watch() -> None:
    """From now on, raise :class:`Interrupted` in the main thread when a signal arrives.

    To be called once, in the main thread, before any other thread is started. A second signal of
    the same kind ends the process at once.
    """
    _watch.start()


def advise(advice: str) -> None:
    """Say what to do after an interruption, in one sentence without passwords."""
    _watch.advice = advice


def advice() -> str:
    """What to do after an interruption; empty if nothing was said."""
    return _watch.advice


def received() -> signal.Signals | None:
    """The first signal that arrived, if any."""
    return _watch.received


def arrived() -> threading.Event:
    """Set when a signal arrives, for loops that end by themselves inside :func:`held`."""
    return _watch.arrived


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Raise :class:`Interrupted` at the end of the block instead of in its middle."""
    _watch.held += 1
    try:
        yield
    finally:
        _watch.held -= 1
    _watch.wake_up()


def closing() -> None:
    """Raise nothing from now on, since the command is ending anyway."""
    _watch.held += 1


@contextlib.contextmanager
def children_apart() -> Iterator[None]:
    """Start child processes in process groups of their own.

    A terminal sends signals to a whole process group: without this, children end before this
    process could close what it has with them. Holds for children with a ``preexec_fn``, as Ray's.
    """
    _watch.apart = True
    try:
        yield
    finally:
        _watch.apart = False


def receive_signals() -> None:
    """The ``preexec_fn`` of a child process that is to be ended by signals."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _leave_terminal() -> None:
    """Write to nowhere what would go to a terminal that is gone, where it would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        poll = select.poll()
        poll.register(stream, 0)  # hang-ups and errors are always reported
        if any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0)):
            os.dup2(nowhere, stream)
    os.close(nowhere)
