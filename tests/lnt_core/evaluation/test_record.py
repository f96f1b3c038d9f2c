"""Results of batches that are kept over a kill."""

import pytest

from lnt_core.evaluation.record import Record

BATCHES = [[0, 1], [2, 3], [4]]
DONE = ["a0", "a1", "a2", "a3", "a4"]


class KilledError(Exception):
    pass


def record_in(folder, *, key="k", told=None):
    """The results, and which batches were run for them."""
    ran = []

    def run(batch):
        ran.append(batch)
        return [f"a{i}" for i in batch]

    record = Record(folder / "r", key, **({"told": told} if told else {}))
    return record.results(BATCHES, run), ran


@pytest.fixture
def killed(tmp_path):
    """A folder whose record has one batch: its process was killed in the second."""

    def run(batch):
        if batch == BATCHES[1]:
            raise KilledError
        return [f"a{i}" for i in batch]

    with pytest.raises(KilledError):
        Record(tmp_path / "r", "k").results(BATCHES, run)
    return tmp_path


def test_only_what_is_missing_is_run(killed) -> None:
    told = []
    assert record_in(killed, told=told.append) == (DONE, BATCHES[1:])
    assert told == [2, 4, 5]
    assert record_in(killed) == (DONE, [])


@pytest.mark.parametrize("end", [b'["a2", "a', b'["a2"]\n', b"\xff\n", b"[1, 2"])
def test_a_line_that_is_not_whole_is_cut_off(end, killed) -> None:
    with (killed / "r").open("ab") as file:
        file.write(end)
    assert record_in(killed) == (DONE, BATCHES[1:])
    assert record_in(killed) == (DONE, [])


def test_what_follows_a_damaged_line_is_run_again(tmp_path) -> None:
    record_in(tmp_path)
    text = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(text.replace(b'"a1"', b'"b1"'))
    assert record_in(tmp_path) == (DONE, BATCHES)


def test_results_of_another_key_are_forgotten(killed) -> None:
    assert record_in(killed, key="other") == (DONE, BATCHES)
    assert record_in(killed, key="other") == (DONE, [])
