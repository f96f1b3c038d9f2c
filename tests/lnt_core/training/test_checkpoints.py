"""Atomic writing of checkpoints."""

import pytest
import torch

from lnt_core.training.checkpoints import save_atomically


def test_a_failed_checkpoint_leaves_the_one_before(tmp_path, monkeypatch) -> None:
    path = tmp_path / "c.pt"
    save_atomically({"step": 1}, path)

    def fail(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_atomically({"step": 2}, path)
    monkeypatch.undo()
    assert torch.load(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]
