"""The analysis that a trial writes."""

import json
from pathlib import Path

import pytest

from lnt_core.trial import run_trial
from lnt_core.worker import Worker


def test_a_trial_leaves_both_analyses(trial_config, tmp_path) -> None:
    config = trial_config()
    result = run_trial(
        config, out=tmp_path, report=lambda step, m: None, worker=Worker(tmp_path / "cache")
    )
    content = json.loads(Path(tmp_path / "analysis.json").read_text())
    assert result.metrics["analysis/layer_similarity"] == content["layer_similarity"][0][1]
    variance = content["gradient_variance"]
    assert result.metrics["analysis/grad_variance"] == pytest.approx(sum(variance["all"]) / 2)
    assert variance["all"] == variance["norms"]  # LayerNorm tuning trains nothing else in a block
    predicted = result.metrics["memory/predicted_training_gib"]
    assert 0 < predicted < result.metrics["memory/predicted_gib"]
    assert result.metrics["memory/training_gib"] > 0
    assert result.metrics["params/by_role/norm"] == 5 * 32
