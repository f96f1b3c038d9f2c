"""Captions of a trial, with the score of each image."""

import json

from sweeps.results.captions import CAPTIONS, Caption, read_captions


def test_scores_are_read_from_a_trials_captions(tmp_path) -> None:
    rows = [{"image": "a.jpg", "caption": "a cat", "cider": 1.5}]
    (tmp_path / CAPTIONS).write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert read_captions(tmp_path / CAPTIONS) == {"a.jpg": Caption("a cat", 1.5)}


def test_an_answer_with_any_line_break_is_read_with_what_it_adds_to_the_score(tmp_path) -> None:
    rows = [
        {"id": f"count/{n}", "answer": f"a{mark}b", "score": 100.0, "contribution": n / 2}
        for n, mark in enumerate("\u2028\x85\n\x0b")
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (tmp_path / "answers_select.jsonl").write_text("\n".join(lines) + "\n")
    found = read_captions(tmp_path / "answers_select.jsonl")
    assert found == {row["id"]: Caption(row["answer"], row["contribution"]) for row in rows}
