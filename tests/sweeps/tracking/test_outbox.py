"""Orders to a server: in order, each carried out, however often the server is away."""

import threading
import time

import pytest

from sweeps.tracking import outbox as outbox_module
from sweeps.tracking.outbox import Outbox


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """The waits between attempts, a thousandth of what they are."""
    monkeypatch.setattr(outbox_module, "POLL_S", 0.001)
    real = time.sleep
    monkeypatch.setattr(outbox_module.time, "sleep", lambda seconds: real(seconds / 1000))


def outbox(routine=lambda: None) -> Outbox:
    return Outbox("test", routine)


def close(box: Outbox, **kwargs) -> None:
    box.close(waiting=lambda: None, **kwargs)


def test_orders_are_carried_out_in_the_order_in_which_they_were_put() -> None:
    done: list[int] = []
    box = outbox()
    for number in range(100):
        box.put(lambda number=number: done.append(number))
    close(box)
    assert done == list(range(100))


def test_a_flush_returns_when_all_before_it_is_done() -> None:
    done: list[int] = []
    box = outbox()
    box.put(lambda: (time.sleep(0.05), done.append(1)))
    box.flush()
    assert done == [1]
    close(box)


def test_an_order_that_fails_is_repeated_and_those_behind_it_wait(caplog) -> None:
    done: list[str] = []
    failures = iter([ConnectionError("the server is away"), TimeoutError("too slow")])

    def first() -> None:
        for error in failures:
            raise error
        done.append("first")

    box = outbox()
    box.put(first)
    box.put(lambda: done.append("second"))
    close(box)
    assert done == ["first", "second"]
    assert "the server is away" in caplog.text
    assert "too slow" in caplog.text


def test_the_routine_goes_on_while_there_are_no_orders() -> None:
    calls = threading.Semaphore(0)
    box = outbox(calls.release)
    for _ in range(5):
        assert calls.acquire(timeout=10)
    close(box)


def test_the_routine_is_done_once_more_before_the_last_orders() -> None:
    """What trials wrote until the end is sent before their runs are closed."""
    seen: list[str] = []
    box = outbox(lambda: seen.append("routine"))
    box.flush()
    seen.clear()
    box.put(lambda: seen.append("order"))
    close(box)
    assert seen.index("routine") < seen.index("order")


def test_closing_with_patience_leaves_what_a_dead_server_keeps_waiting() -> None:
    def never() -> None:
        raise ConnectionError("gone")

    box = outbox()
    box.put(never)
    asked: list[bool] = []
    began_s = time.monotonic()
    box.close(waiting=lambda: asked.append(True), patience_s=0.2)
    assert time.monotonic() - began_s < 10
    assert asked == []


def test_closing_without_patience_says_once_that_it_waits(monkeypatch) -> None:
    monkeypatch.setattr(outbox_module, "JOIN_S", 0.05)
    release, asked, done = threading.Event(), [], []
    box = outbox()
    box.put(lambda: (release.wait(10), done.append(True)))

    def waiting() -> None:
        asked.append(True)
        release.set()

    box.close(waiting=waiting)
    assert (asked, done) == ([True], [True])
