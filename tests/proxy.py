"""A proxy in front of a server, that can be told to fail as servers do."""

import contextlib
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host")


class Faulty:
    """Passes requests on, or answers 500, or does not answer at all."""

    def __init__(self, target: str) -> None:
        self.mode = "pass"
        """``pass``, ``500`` or ``hang``."""
        self.num_refused = 0
        self._released = threading.Event()
        self._target = urlsplit(target).netloc
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if proxy.mode == "hang":
                    proxy.num_refused += 1
                    proxy._released.wait(timeout=120)
                    return
                if proxy.mode == "500":
                    proxy.num_refused += 1
                    self.send_error(500)
                    return
                proxy._pass_on(self, body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = answer  # noqa: N815

            def log_message(self, *args) -> None:
                """Nothing."""

        return Handler

    def _pass_on(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        kept = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        with contextlib.closing(http.client.HTTPConnection(self._target, timeout=60)) as connection:
            connection.request(request.command, request.path, body=body, headers=kept)
            answer = connection.getresponse()
            content = answer.read()
        request.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in HOP_BY_HOP:
                request.send_header(key, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


@contextlib.contextmanager
def faulty_proxy(target: str) -> Iterator[Faulty]:
    proxy = Faulty(target)
    try:
        yield proxy
    finally:
        proxy.close()
