"""The micro model: two random layers, ready in a second, for every test that breaks a sweep.

Its captions are noise. What a disturbed sweep must give is therefore not a ranking, but the loss of
every step of every trial, and each trial's score, as in an undisturbed run: :func:`outcome`.
"""

import json
from pathlib import Path
from typing import Any

import yaml

STAGE = {"batch_size": 8, "micro_batch_size": 8, "gradient_checkpointing": False}
SWEEP = {
    "name": "small",
    "data": {"scenes": {"num_train": 60, "num_val": 4, "num_test": 4}},
    "align": {"max_steps": 2, **STAGE},
    "search": {"strategy": ["layernorm", "full"], "learning_rate": [2e-3, 1e-4]},
    "train": {"max_steps": 60, "checkpoint_every_steps": 3, **STAGE},
    "resources": {"max_concurrent_trials": 1},
}
"""A sweep file's content without ``model``, which the fixture ``micro`` adds. One trial at a time:
midway through a sweep is then a state, not a moment, and the start of a process for a second one
would cost more than all four trials."""


def outcome(trials: list[Path]) -> dict[tuple[str, float], Any]:
    """How each trial ended: its status, its score, and the loss of every step, to the last digit.

    Args:
        trials: The trials' folders.
    """
    found = {}
    for folder in trials:
        config = yaml.safe_load((folder / "trial.yaml").read_text())
        result = json.loads((folder / "result.json").read_text())
        score = result["metrics"].get("select/cider")
        key = (config["strategy"]["name"], config["learning_rate"])
        assert key not in found, f"two trials at {key}"
        found[key] = (result["status"], repr(score), losses(folder))
    return found


def losses(trial: Path) -> dict[int, str]:
    """The loss of each step; a step that two processes wrote must be the same in both."""
    found: dict[int, str] = {}
    for line in (trial / "events.jsonl").read_text().splitlines():
        step, _, metrics, _ = json.loads(line)
        if "train/loss" in metrics:
            loss = repr(metrics["train/loss"])
            assert found.setdefault(step, loss) == loss, f"step {step} of {trial.name}"
    return found
