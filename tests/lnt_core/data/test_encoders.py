"""Several processes encode the same as one, in the same order, and none outlives its parent."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lnt_core.data import encoders
from lnt_core.data.encoding import encode_samples
from lnt_core.data.samples import Sample
from lnt_core.errors import DataError

pytestmark = pytest.mark.heavy

SAMPLES = [Sample((), ((f"How many {'x' * n}?", f"{n} of them."),), f"line {n}") for n in range(9)]

PROGRAM = """
import sys, pickle
from pathlib import Path
from lnt_core.data import encoders
from lnt_core.data.samples import Sample

if __name__ == "__main__":
    encoders.LEAST, encoders.AT_A_TIME = 1, 16
    conversations = pickle.loads(Path(sys.argv[1]).read_bytes())
    samples = [Sample((), (("How many?", "Two."),))] * 10**5
    each = encoders.encoded_each(conversations, samples, max_length=99, processes=2)
    next(each)
    print("encoding", flush=True)
    for _ in each:
        pass
"""


@pytest.fixture
def pooled(monkeypatch) -> None:
    monkeypatch.setattr(encoders, "LEAST", 4)
    monkeypatch.setattr(encoders, "AT_A_TIME", 2)


def test_two_processes_give_what_one_gives(base, scenes, pooled, monkeypatch) -> None:
    with_image = Sample(
        (next(Path(scenes.tune.images).iterdir()),), (("<image>\nWhat?", "A dog."),)
    )
    samples = [*SAMPLES, with_image]
    started = []
    monkeypatch.setattr(
        encoders.ProcessPoolExecutor, "map", _noting(encoders.ProcessPoolExecutor.map, started)
    )
    before = psutil.Process().children()  # of other tests
    alone = list(encode_samples(base.conversations, samples, max_length=100))
    assert not started
    assert list(encode_samples(base.conversations, samples, max_length=100, processes=2)) == alone
    assert len(started) == 1
    left = [c.cmdline() for c in psutil.Process().children() if c not in before]
    assert all("resource_tracker" in " ".join(command) for command in left)  # Python's own


def test_what_cannot_be_used_is_named_by_all_processes(base, pooled) -> None:
    turns = (("What?", f"A {base.conversations.image_token}."),)
    bad = [Sample((), turns, f"line {number}") for number in (10, 11)]
    samples = [bad[0], *SAMPLES, bad[1]]
    with pytest.raises(DataError, match=r"2 of 11 conv.* cannot be used: line 10: .*line 11"):
        list(encode_samples(base.conversations, samples, max_length=100, processes=2))


def test_few_are_encoded_by_the_process_itself(base, monkeypatch) -> None:
    monkeypatch.delattr(encoders, "ProcessPoolExecutor")
    assert len(list(encode_samples(base.conversations, SAMPLES, max_length=100, processes=2))) == 9


def test_a_killed_process_leaves_no_encoders(base, tmp_path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "conversations").write_bytes(pickle.dumps(base.conversations))
    command = [sys.executable, str(tmp_path / "program.py"), str(tmp_path / "conversations")]
    environment = os.environ | {"PYTHONPATH": str(Path(encoders.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "encoding\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(map(_runs, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if _runs(child)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _noting(method, told: list):
    def noting(*args, **kwargs):
        told.append(args)
        return method(*args, **kwargs)

    return noting
