"""Python imports this first: a worker of Ray becomes a fork of the process at ``LNT_TESTS_WARM``.

What Ray started stands in for it, and ends as it does.
"""

import os
import sys


def _stand_in() -> None:
    started = next((i for i, a in enumerate(sys.orig_argv) if a.endswith("/default_worker.py")), 0)
    address = os.environ.get("LNT_TESTS_WARM")
    if not address or not started or any(a.endswith("/setup_worker.py") for a in sys.orig_argv):
        return
    import json  # only here: this runs at the start of every Python
    import socket

    server = socket.socket(socket.AF_UNIX)
    server.connect(address)
    request = {
        "argv": sys.orig_argv[started:],
        "folder": os.getcwd(),  # noqa: PTH109 - pathlib takes as long as all else here
        "environment": dict(os.environ),
    }
    content = json.dumps(request).encode() + b"\n"
    server.sendall(content[socket.send_fds(server, [content], [0, 1, 2]) :])
    with server.makefile() as answers:
        answers.readline()
        ended = answers.readline()
    os._exit(int(ended) % 256 if ended else 1)


_stand_in()
