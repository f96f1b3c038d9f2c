"""`lnt plan`: its tables and its JSON."""

import json

import pytest

from sweeps.cli.exit_codes import EXIT_DONE
from sweeps.cli.main import main
from sweeps.search_space import PAPER_RATES

pytestmark = pytest.mark.heavy


def plan(capsys, *overrides: str, sweep: str = "demo") -> list[dict]:
    return whole_plan(capsys, *overrides, sweep=sweep)["trials"]


def whole_plan(capsys, *overrides: str, sweep: str = "demo") -> dict:
    argv = ["plan", sweep, "--no-files", "--json"]
    for override in overrides:
        argv += ["--set", override]
    assert main(argv) == EXIT_DONE
    content = json.loads(capsys.readouterr().out)
    assert content["sweep"] == sweep
    return content


TWO = "search.strategy=[layernorm, lora]"
"""Of a preset that is another one's, but larger."""


@pytest.mark.parametrize(
    ("preset", "changes", "num_trials"),
    [("demo", (), 66), ("demo-all", (), 132), ("paper-7b", (), 66), ("paper-13b", (TWO,), 22)],
)
def test_every_preset_plans_without_files(preset, changes, num_trials, capsys) -> None:
    trials = plan(capsys, *changes, sweep=preset)
    assert len({trial["id"] for trial in trials}) == len(trials) == num_trials
    assert {
        "id",
        "strategy",
        "learning_rate",
        "trainable_parameters",
        "trainable_share",
        "memory_gib",
        "gpu_hours",
    } <= trials[0].keys()


def test_it_lists_every_strategy_at_every_rate_in_the_files_order(capsys) -> None:
    found = plan(capsys, "search.strategy=[layernorm_simple, full]")
    assert [(t["strategy"], t["learning_rate"]) for t in found] == [
        (strategy, rate) for strategy in ("layernorm_simple", "full") for rate in PAPER_RATES
    ]


def test_one_value_set_anew_gives_trials_of_another_name(capsys) -> None:
    one = ("search.strategy=[layernorm]", "search.learning_rate=[3e-4]")
    (before,) = plan(capsys, *one)
    (after,) = plan(capsys, *one, "train.weight_decay=1e-2")
    assert before["id"] != after["id"]
    assert before["trainable_parameters"] == after["trainable_parameters"]


def test_a_trial_that_is_yet_to_be_drawn_has_no_name(capsys) -> None:
    found = plan(
        capsys,
        "search.algorithm=tpe",
        "search.num_trials=9",
        "search.learning_rate={low: 1e-5, high: 1e-2}",
    )
    assert {(trial["id"], trial["learning_rate"]) for trial in found} == {("", None)}
    assert len(found) == 6


def test_json_has_the_costs(capsys) -> None:
    found = whole_plan(
        capsys, "search.strategy=[layernorm]", "search.learning_rate=[1e-4]", sweep="paper-7b"
    )
    (stage,), (trial,) = found["stages_1"], found["trials"]
    assert stage["gpu_hours"] > 10 * trial["gpu_hours"]
    assert stage["memory_gib"] > sum(v for k, v in stage["memory"].items() if k == "weights_gib")
    assert found["makespans"]["stage_1_h"] == stage["gpu_hours"]
    memory, activations = trial["memory"], trial["activations_gib"]
    assert activations["checkpointed"] == memory["activations_gib"] < activations["whole"]
    assert sum(trial["trainable_by_role"].values()) == trial["trainable_parameters"]
    assert trial["too_big"] is None
    assert found["features"]["num_images"] == 80_000


def test_the_tables_show_what_does_not_fit_and_what_was_assumed(capsys) -> None:
    argv = ["plan", "paper-7b", "--no-files", "--set", "search.strategy=[layernorm]"]
    assert main([*argv, "--set", "resources.gpu_memory_gib=36"]) == EXIT_DONE
    told = capsys.readouterr().out
    assert "(!) layernorm: " in told
    assert "at 40% of 156 TFLOP/s" in told
    assert "Stage 1 and 11 trials of 1 strategy, " in told
    of_trials, of_memory = (
        line.split() for line in told.splitlines() if "  " in line and "stage 1  " in line
    )
    assert of_trials[1:5] == ["stage", "1", "2e-3", "4,198,400"]
    assert of_memory[:3] == ["stage", "1", "16"]
    assert "of them for stage 1." in told
    assert "h are stage 1, for which all trials wait." in told
    assert "Images: features of 80,000 take 78.1 GiB of disk. " in told


@pytest.mark.parametrize("found_here", [True, False])
def test_what_each_trial_finds_on_its_device_is_told(found_here, capsys) -> None:
    argv = ["plan", "demo", "--no-files", "--set", "search.strategy=[full]"]
    argv += ["--set", "train.micro_batch_size=auto"]
    argv += ["--set", "train.gradient_checkpointing=auto"]
    if found_here:
        argv += ["--set", "resources={gpus_per_trial: 1, gpu_memory_gib: 80}"]
    assert main(argv) == EXIT_DONE
    out = capsys.readouterr().out
    told = "finds its micro-batch size on its device; the memory shown is for micro-batch size 1"
    assert (told in out) == (not found_here)
    assert ("train.gradient_checkpointing: auto a trial" in out) == (not found_here)
    of_memory = [line.split() for line in out.splitlines() if line.startswith("full ")]
    assert of_memory[0][1:3] == (["16", "off"] if found_here else ["auto", "auto"])
