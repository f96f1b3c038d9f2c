"""A sweep in which the paper's analyses fail: every trial has ended by then."""

import json

import pytest

from lnt_core.analysis.trial_analysis import CUT_SHORT
from tests.patched import sitecustomize

pytestmark = pytest.mark.fault

FAIL = """
import os, signal

def patch(similarity):
    real = similarity.Outputs.keep
    def keep(self, index, output):
        if type(output).__name__ == "FakeTensor":  # it is only predicted
            return real(self, index, output)
        file = os.environ["ANALYSES"]
        open(file, "a").close()
        number = os.path.getsize(file)
        with open(file, "a") as seen:
            seen.write(".")
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in (0, 2):  # of the untuned base, and of a trial
            self._num_blocks *= 10**12  # more memory than any host has
        real(self, index, output)
    similarity.Outputs.keep = keep
"""
"""Of the base no memory is left for the analysis, the first trial's process dies in it, the next
has no memory, and the other two are analysed."""
NO_MEMORY = "its layers were not analysed: out of memory (`train.analyse: false` leaves that out)"


def test_analyses_that_fail_cost_no_trial(undisturbed, micro_with, tmp_path) -> None:
    sweep = micro_with()
    patched = sitecustomize("lnt_core.analysis.similarity", FAIL)
    (tmp_path / "sitecustomize.py").write_text(patched)
    sweep.environment["PYTHONPATH"] = str(tmp_path)
    sweep.environment["ANALYSES"] = str(tmp_path / "analyses")
    printed = " ".join(sweep.lnt("run", "sweep.yaml").split())
    assert sweep.outcome() == undisturbed.outcome()
    assert sweep.scores() == undisturbed.scores()
    sweep.assert_tracked_once(num_trials=4, num_steps=60)
    results = [json.loads(path.read_text()) for path in sweep.files("result.json")]
    notes = [result["note"] for result in results]
    assert sorted(notes) == ["", "", NO_MEMORY, CUT_SHORT]
    for result in results:
        assert ("analysis/layer_similarity" in result["metrics"]) is (result["note"] == "")
        assert ("analysis.json" in result["files"]) is (result["note"] == "")
    _, runs = sweep.runs()
    assert sorted(run.data.tags.get("lnt.note", "") for run in runs) == ["", *sorted(notes)]
    assert f"the untuned base: {NO_MEMORY}" in printed
    assert "2 trials with a note (tag lnt.note); the first: its layers were not analysed" in printed
