"""Orders to a server: in order, each carried out, however often the server is away."""

import contextlib
import errno
import http.server
import sqlite3
import threading
import time

import pytest
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, TEMPORARILY_UNAVAILABLE

from sweeps.tracking import outbox as outbox_module
from sweeps.tracking.outbox import Outbox, is_away


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


def test_a_question_is_answered_after_what_was_put_before_it() -> None:
    done: list[int] = []
    failures = iter([ConnectionError("the server is away")])

    def question() -> list[int]:
        for error in failures:
            raise error
        return list(done)

    box = outbox()
    box.put(lambda: done.append(1))
    assert box.ask(question) == [1]
    with pytest.raises(KeyError):  # it would fail again
        box.ask(lambda: {}["x"])
    close(box)
    assert box.refused == []


def test_a_store_that_was_deleted_is_known_to_be_gone() -> None:
    def order() -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    box = outbox()
    box.put(order)
    close(box)
    assert box.gone == "readonly database"


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


def test_the_waits_between_attempts_double_up_to_the_longest(caplog, monkeypatch) -> None:
    monkeypatch.setattr(outbox_module, "MAX_DELAY_S", 0.06)
    failures = iter([ConnectionError("away for long")] * 5)

    def order() -> None:
        for error in failures:
            raise error

    box = outbox()
    box.put(order)
    close(box)
    told = [record.args for record in caplog.records if "away for long" in record.getMessage()]
    assert [100 * wait_s for _, wait_s in told] == [1, 2, 4, 6, 6]


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


def test_closing_with_patience_leaves_out_what_a_full_disk_does_not_allow(monkeypatch) -> None:
    monkeypatch.setattr(outbox_module, "MIN_DELAY_S", 600)
    done: list[str] = []

    def full() -> None:
        done.append("tried")
        raise OSError(errno.ENOSPC, "No space left on device")

    box = outbox()
    box.put(full)
    box.put(lambda: done.append("after"))
    while not done:  # it is tried, and waits
        time.sleep(0.001)
    close(box, patience_s=60)
    assert done == ["tried", "tried", "after"]
    assert not box.refused


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


def test_an_order_that_would_fail_again_is_dropped_and_told_once(caplog) -> None:
    done: list[str] = []

    def bad() -> None:
        raise KeyError("a bug")

    box = outbox(bad)
    box.put(bad)
    box.put(lambda: done.append("after"))
    close(box)
    assert done == ["after"]
    assert box.refused == ["KeyError: 'a bug'"]
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def raised(call) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011  whatever MLflow raises
        call()
    return caught.value


class TestWhatMlflowRaises:
    """The errors of MLflow's own client and stores, made to happen."""

    @pytest.fixture(autouse=True)
    def _once(self, monkeypatch) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def test_a_server_that_does_not_answer_is_away(self) -> None:
        client = MlflowClient("http://127.0.0.1:9")
        assert is_away(raised(lambda: client.get_run("0" * 32)))

    @pytest.mark.parametrize(
        ("status", "away"), [(429, True), (502, True), (503, True), (401, False), (404, False)]
    )
    def test_a_server_that_answers_with(self, status, away) -> None:
        with answering(status) as uri:
            error = raised(lambda: MlflowClient(uri).get_run("0" * 32))
        assert is_away(error) is away

    def test_a_full_disk_is_waited_for(self) -> None:
        error = MlflowException("the run cannot be written")
        error.__cause__ = OSError(errno.ENOSPC, "no space left")
        assert is_away(error)

    def test_what_a_store_lacks_or_refuses_is_no_reason_to_wait(self, client) -> None:
        run_id = client.create_run(client.create_experiment("refused")).info.run_id
        assert not is_away(raised(lambda: client.get_run("0" * 32)))
        assert not is_away(raised(lambda: client.set_tag(run_id, "a\0b", "x")))
        client.log_param(run_id, "rank", 8)
        assert not is_away(raised(lambda: client.log_param(run_id, "rank", 16)))

    def test_a_locked_database_is_away_and_a_deleted_one_is_not(self, new_store, tmp_path) -> None:
        client = MlflowClient(new_store(tmp_path))
        run = client.create_run(client.create_experiment("x"))
        error = sqlalchemy.exc.OperationalError("", {}, Exception("database is locked"))
        assert is_away(MlflowException(str(error), error_code=TEMPORARILY_UNAVAILABLE))
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            database.execute("DROP TABLE tags")
        assert not is_away(raised(lambda: client.set_tag(run.info.run_id, "a", "b")))

    def test_a_server_that_fails_on_an_order_is_asked_for_a_while(self, monkeypatch) -> None:
        monkeypatch.setattr(outbox_module, "SERVER_ERROR_S", 0.05)
        box, calls = outbox(), []

        def fail() -> None:
            calls.append(1)
            time.sleep(0.02)
            raise MlflowException("internal error", error_code=INTERNAL_ERROR)

        box.put(fail)
        close(box)
        assert 1 < len(calls) < 10
        assert len(box.refused) == 1


@contextlib.contextmanager
def answering(status: int):
    """The URI of a server that answers every request with an empty page and this status."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args) -> None:
            """Print nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
