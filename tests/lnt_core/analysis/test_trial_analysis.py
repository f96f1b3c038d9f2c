"""The analysis that a trial writes, and what becomes of the trial if it fails."""

import json

import pytest
import torch

from lnt_core.analysis import similarity
from lnt_core.analysis.trial_analysis import CUT_SHORT
from lnt_core.config import TrialConfig
from lnt_core.errors import TrialError
from lnt_core.outcome import ended
from lnt_core.trial import WEIGHTS, run_trial
from lnt_core.worker import Worker
from tests.parts import TRAIN, model_config

SAME = ("train/loss", "select/cider", "report/cider", "train/final_loss")
TRAINED = TRAIN | {"max_steps": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs the same trial; gives its result, what it reported, and its folder."""
    worker = Worker(tmp_path_factory.mktemp("cache"))

    def once(config: TrialConfig):
        out, heard = tmp_path_factory.mktemp("out"), []
        result = run_trial(
            config, out=out, report=lambda step, m: heard.append((step, m)), worker=worker
        )
        told = [(step, key, m[key]) for step, m in heard for key in SAME if key in m]
        assert analyses(result) == {key for _, m in heard for key in m if "analysis/" in key}
        return result, told, out

    return once


def analyses(result) -> set[str]:
    return {name for name in result.metrics if name.startswith("analysis/")}


@pytest.fixture(scope="module")
def config(parts, scenes):
    content = {
        "model": model_config(parts),
        "data": scenes,
        "strategy": {"name": "layernorm"},
        "learning_rate": 1e-3,
        "train": TRAINED,
    }
    return TrialConfig.model_validate(content)


@pytest.fixture(scope="module")
def whole(run, config):
    return run(config)


def test_a_trial_leaves_both_analyses(whole) -> None:
    result, _, out = whole
    content = json.loads((out / "analysis.json").read_text())
    assert result.metrics["analysis/layer_similarity"] == content["layer_similarity"][0][1]
    variance = content["gradient_variance"]
    assert result.metrics["analysis/grad_variance"] == pytest.approx(sum(variance["all"]) / 2)
    assert variance["all"] == variance["norms"]  # LayerNorm tuning trains nothing else in a block
    predicted = result.metrics["memory/predicted_training_gib"]
    assert 0 < predicted < result.metrics["memory/predicted_gib"]
    assert result.metrics["memory/training_gib"] > 0
    assert result.metrics["params/by_role/norm"] == 5 * 32


def test_the_analysis_can_be_left_out(run, config, whole) -> None:
    with_it, told, _ = whole
    train = config.train.model_copy(update={"analyse": False})
    config = config.model_copy(update={"train": train})
    without, told_without, out = run(config)
    assert told_without == told
    assert analyses(without) == set()
    assert without.files.keys() == with_it.files.keys() - {"analysis.json"}
    assert (without.note, with_it.note) == ("", "")
    assert ended(config, out) == without


def test_a_trial_outlives_an_analysis_without_memory(run, config, whole, monkeypatch) -> None:
    _, told, _ = whole
    seen = []

    class TooMany(similarity.Outputs):
        """Asks for more memory than any host has; looks before that at what is on disk."""

        def keep(self, index, output):
            (out,) = {path.parent for path in gone.glob("out*/ended.json")} - known
            seen[:] = [ended(config, out), {path.name for path in (out / WEIGHTS).iterdir()}]
            self._num_blocks *= 10**12
            super().keep(index, output)

    gone = whole[2].parent
    known = {path.parent for path in gone.glob("out*/ended.json")}
    monkeypatch.setattr(similarity, "Outputs", TooMany)
    result, told_before, out = run(config)
    assert told_before == told
    assert analyses(result) == set()
    assert (result.status, result.note) == (
        "finished",
        "its layers were not analysed: out of memory (`train.analyse: false` leaves that out)",
    )
    assert ended(config, out) == result
    left, weights = seen  # when the analysis began, all else was done and written
    assert (left.note, left.metrics) == (CUT_SHORT, result.metrics)
    assert weights == {path.name for path in (out / WEIGHTS).iterdir()} != set()


def test_a_lost_gpu_ends_the_process_but_not_the_trial(run, config, whole, monkeypatch) -> None:
    class Lost(similarity.Outputs):
        def keep(self, index, output):
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    known = set(whole[2].parent.glob("out*/ended.json"))
    monkeypatch.setattr(similarity, "Outputs", Lost)
    with pytest.raises(TrialError, match="its layers were not analysed: AcceleratorError") as found:
        run(config)
    assert isinstance(found.value.__cause__, torch.AcceleratorError)
    (file,) = set(whole[2].parent.glob("out*/ended.json")) - known
    left = ended(config, file.parent)
    assert left is not None
    assert (left.status, left.note) == ("finished", CUT_SHORT)
