"""The end of a process that trains with others."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys
from lnt_core.distributed.ranks import end_process, join
if sys.argv[1] == "joined":
    join("cpu")
atexit.register(print, "Python has ended")
print("done", end="")
end_process()
print(" and goes on")
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("group", "said"), [("joined", "done"), ("alone", "done and goes on\nPython has ended\n")]
)
def test_a_process_of_a_group_ends_without_pythons_own_end(group, said) -> None:
    """In which a thread of the group may abort it; nothing that was printed is lost."""
    ended = subprocess.run([sys.executable, "-c", PROGRAM, group], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == said
