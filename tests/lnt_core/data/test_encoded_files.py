"""Encoded conversations in files: the same as in memory, and shared by processes."""

import random
import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.data.encoded_files import EncodedFiles, longest, write_encoded

PAIR = (Path("folder/a b.jpg"), Path("/caf\u00e9/\udcff.png"))
SAMPLES = [
    Encoded([1, 2, 3, 4], [IGNORE, 2, IGNORE, 4], PAIR),
    Encoded([5, 6], [5, 6], (), {"kind": [0, 1]}),
    Encoded([65535, 7, 8], [IGNORE, IGNORE, 8], PAIR[:1]),
    Encoded([9, 9, 9], [IGNORE] * 3, PAIR[1:], {"kind": [300, 300, 0], "place": [-5, 2, 2]}),
]


def write(folder: Path, samples: list[Encoded], *, num_samples: int = 9) -> EncodedFiles:
    folder.mkdir()
    write_encoded(folder, samples, images=PAIR, num_samples=num_samples)
    return EncodedFiles(folder)


def test_what_is_read_is_what_was_written(tmp_path) -> None:
    files = write(tmp_path / "a", SAMPLES)
    assert list(files) == SAMPLES
    assert files[1:] == SAMPLES[1:]
    assert longest(files) == longest(SAMPLES) == 4
    assert (files[-1], len(files), files.num_left_out) == (SAMPLES[-1], 4, 5)
    assert tuple(files.image_paths()) == PAIR
    with pytest.raises(IndexError):
        files[4]


@pytest.mark.parametrize(("most", "dtype"), [(255, "uint8"), (65535, "uint16"), (65536, "int32")])
def test_ids_take_the_smallest_integers_that_hold_them(most, dtype, tmp_path) -> None:
    samples = [Encoded([1, most], [IGNORE, most])]
    assert list(write(tmp_path / "a", samples)) == samples
    assert np.load(tmp_path / "a" / "input_ids.npy").dtype == dtype


def test_no_images_and_no_extras(tmp_path) -> None:
    samples = [Encoded([1, 2], [IGNORE, 2])] * 2
    (tmp_path / "a").mkdir()
    write_encoded(tmp_path / "a", samples, images=(), num_samples=2)
    assert list(EncodedFiles(tmp_path / "a")) == samples


def test_a_label_of_another_token_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="neither its token nor IGNORE"):
        write(tmp_path / "a", [Encoded([1, 2], [IGNORE, 3])])


NUM_SAMPLES, NUM_TOKENS, NUM_READ, NUM_PROCESSES = 100_000, 800, 20_000, 3
VOCABULARY = 152_000  # as Qwen's: ids need 32 bits
MOST_MB = 400
"""Memory of all processes together."""


@pytest.mark.heavy
def test_three_processes_share_the_memory_of_100000_conversations(tmp_path) -> None:
    images = [Path(f"/data/images/{number:09}.jpg") for number in range(NUM_SAMPLES)]
    ids = np.random.default_rng(0).integers(0, VOCABULARY, NUM_SAMPLES + NUM_TOKENS)

    def samples():
        for number, image in enumerate(images):
            own = ids[number : number + NUM_TOKENS].astype(np.int32)
            labels = own.copy()
            labels[:-99] = IGNORE
            kinds = np.arange(NUM_TOKENS, dtype=np.int32) // 64 % 2
            rows = (array("i", row.tobytes()) for row in (own, labels, kinds))
            yield Encoded(next(rows), next(rows), (image,), {"mm_token_type_ids": next(rows)})

    write_encoded(tmp_path, samples(), images=images, num_samples=NUM_SAMPLES)
    command = [sys.executable, __file__, str(tmp_path)]
    readers = [
        subprocess.Popen(
            [*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for seed in range(NUM_PROCESSES)
    ]
    for _ in range(NUM_STEPS):  # together: libraries are shared, too
        told = [reader.stdout.readline() for reader in readers]
        for reader in readers:
            print(file=reader.stdin, flush=True)
    for reader in readers:
        reader.communicate(timeout=60)
    grown = [float(line) for line in told]
    print(f"{sum(grown):.0f} MB: {grown}, files {_size_mb(tmp_path):.0f} MB")
    assert sum(grown) < MOST_MB


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


NUM_STEPS = 4


def _read_and_tell(folder: Path, seed: int) -> None:
    """Tell by how many MB a process has grown, while all of them have read what they want."""
    _tell("started")
    before = _pss_mb()
    _tell("measured")
    files, draws = EncodedFiles(folder), random.Random(seed)
    for _ in range(NUM_READ):
        assert len(files[draws.randrange(len(files))].input_ids) == NUM_TOKENS
    _tell("read")
    _tell(_pss_mb() - before)


def _tell(step: object) -> None:
    """Wait, too, until the others have come as far."""
    print(step, flush=True)
    sys.stdin.readline()


def _pss_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


if __name__ == "__main__":
    _read_and_tell(Path(sys.argv[1]), int(sys.argv[2]))
