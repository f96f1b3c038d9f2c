"""Captions of a trial, with the score of each image."""

import json

from sweeps.results.captions import CAPTIONS, Caption, read_captions


def test_scores_are_read_from_a_trials_captions(tmp_path) -> None:
    rows = [{"image": "a.jpg", "caption": "a cat", "cider": 1.5}]
    (tmp_path / CAPTIONS).write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert read_captions(tmp_path / CAPTIONS) == {"a.jpg": Caption("a cat", 1.5)}
