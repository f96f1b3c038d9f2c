"""How a sweep file becomes trials."""

import json

import pytest

from lnt_core.errors import ConfigError
from sweeps.cli.main import main
from sweeps.config import PAPER_RATES, SearchConfig, SweepConfig
from sweeps.driver.steps import rung_steps
from sweeps.plan.labels import label
from sweeps.plan.load import load_sweep
from sweeps.plan.space import points, trials
from sweeps.tracking.runs import flat
from sweeps.validation import load_yaml
from sweeps.worker.context import point_of


def sweep(**search) -> SweepConfig:
    return SweepConfig.model_validate(
        {"name": "s", "model": {"tiny": True}, "search": {"strategy": ["full"]} | search}
    )


def test_the_papers_grid_has_its_ends_and_its_count() -> None:
    assert len(PAPER_RATES) == 11
    assert (PAPER_RATES[0], PAPER_RATES[-1]) == (2e-3, 1e-7)
    assert list(PAPER_RATES) == sorted(PAPER_RATES, reverse=True)


def test_the_demo_is_the_papers_66_trials() -> None:
    found = trials(load_sweep("demo"))
    assert len(found) == 66
    assert {t.learning_rate for t in found} == set(PAPER_RATES)


def test_a_number_of_workers_is_for_all_and_a_mapping_for_those_it_names() -> None:
    both = sweep(strategy=["full", "layernorm"], learning_rate=[1e-3]).model_dump()
    both |= {"train": {"deepspeed": "zero2"}}
    for workers, expected in (
        (2, {"full": (2, "zero2"), "layernorm": (2, "zero2")}),
        ({"full": 4}, {"full": (4, "zero2"), "layernorm": (1, None)}),
    ):
        given = SweepConfig.model_validate(both | {"resources": {"workers_per_trial": workers}})
        found = {
            t.strategy.name: (given.resources.workers_of(t.strategy.name), t.train.deepspeed)
            for t in trials(given)
        }
        assert found == expected
        assert given.resources.most_workers == max(number for number, _ in expected.values())


def test_a_list_as_an_options_value_means_each_of_them() -> None:
    given = sweep(
        strategy=["layernorm", {"name": "lora", "rank": [8, 32]}], learning_rate=[1e-3, 1e-4]
    )
    assert [label(*point) for point in points(given)] == [
        "layernorm lr=1e-3",
        "layernorm lr=1e-4",
        "lora rank=8 lr=1e-3",
        "lora rank=8 lr=1e-4",
        "lora lr=1e-3",
        "lora lr=1e-4",
    ]


def test_an_option_that_is_a_list_is_one_value_and_a_list_of_lists_is_many() -> None:
    chosen = [
        {"name": "layernorm", "target_modules": ["input_layernorm", "norm"]},
        {"name": "layernorm", "target_modules": [["input_layernorm"], ["norm"]]},
    ]
    given = sweep(strategy=chosen, learning_rate=[1e-3])
    assert [label(*point) for point in points(given)] == [
        "layernorm target_modules=input_layernorm,norm lr=1e-3",
        "layernorm target_modules=input_layernorm lr=1e-3",
        "layernorm target_modules=norm lr=1e-3",
    ]


def test_a_trials_name_has_only_options_that_apply_and_differ() -> None:
    chosen = ["prefix", {"name": "prefix", "reparameterise": False}]
    given = sweep(
        strategy=chosen,
        learning_rate=[1e-3],
        values={"train.gradient_checkpointing": [False]},
    )
    assert [label(*point) for point in points(given)] == [
        "prefix train.gradient_checkpointing=False lr=1e-3",
        "prefix reparameterise=False train.gradient_checkpointing=False lr=1e-3",
    ]


def test_other_values_vary_in_every_combination() -> None:
    given = sweep(
        strategy=["full"],
        learning_rate=[1e-3, 1e-4],
        values={"train.weight_decay": [0.0, 0.1], "train.warmup_ratio": [0.03]},
    )
    assert [label(*point) for point in points(given)] == [
        "full train.weight_decay=0.0 train.warmup_ratio=0.03 lr=1e-3",
        "full train.weight_decay=0.0 train.warmup_ratio=0.03 lr=1e-4",
        "full train.weight_decay=0.1 train.warmup_ratio=0.03 lr=1e-3",
        "full train.weight_decay=0.1 train.warmup_ratio=0.03 lr=1e-4",
    ]
    found = trials(given)
    assert [t.train.weight_decay for t in found] == [0.0, 0.0, 0.1, 0.1]
    assert found[0].align == trials(sweep(strategy=["full"], learning_rate=[1e-3]))[0].align
    indices = [point_of(given, trial) for trial in found]
    assert [point["values"] for point in indices] == [0, 0, 1, 1]


def test_random_draws_take_other_values_too() -> None:
    given = sweep(
        strategy=["full"],
        learning_rate=[1e-3],
        values={"train.weight_decay": [0.0, 0.1, 0.2]},
        algorithm="random",
        num_trials=3,
    )
    assert {trial.train.weight_decay for trial in trials(given)} == {0.0, 0.1, 0.2}


def test_only_options_of_the_own_strategy_are_tracked() -> None:
    given = sweep(strategy=["full", {"name": "lora", "rank": 8}], learning_rate=[1e-3])
    full, lora = (flat(t.model_dump(mode="json", exclude_none=True)) for t in trials(given))
    assert [key for key in full if key.startswith("strategy.")] == ["strategy.name"]
    assert lora["strategy.rank"] == "8"


def test_random_draws_differ_stay_in_range_and_repeat_by_seed() -> None:
    given = sweep(
        strategy=["full", "lora"],
        learning_rate={"low": 1e-6, "high": 1e-2},
        algorithm="random",
        num_trials=20,
    )
    found = trials(given)
    assert found == trials(given)
    assert len(set(found)) == 20
    assert all(1e-6 <= trial.learning_rate <= 1e-2 for trial in found)
    assert trials(given.model_copy(update={"seed": 1})) != found


@pytest.mark.parametrize("preset", ["demo", "demo-all", "paper-7b", "paper-13b"])
def test_every_preset_plans_without_files(preset, capsys) -> None:
    assert main(["plan", preset, "--no-files", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["sweep"] == preset
    num_trials = 132 if preset == "demo-all" else 66
    assert len(plan["trials"]) == num_trials
    assert {
        "id",
        "strategy",
        "learning_rate",
        "trainable_parameters",
        "trainable_share",
        "memory_gib",
        "gpu_hours",
    } <= plan["trials"][0].keys()
    assert len({trial["id"] for trial in plan["trials"]}) == num_trials


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_presets_of_other_models_differ_in_nothing_else(size) -> None:
    vicuna = load_sweep(f"paper-{size}")
    for kind, hub in (("llama2", "hf"), ("llama2-chat", "chat-hf")):
        other = load_sweep(f"paper-{size}-{kind}")
        assert other.model.language_model == f"meta-llama/Llama-2-{size}-{hub}"
        model = other.model.model_copy(update={"language_model": vicuna.model.language_model})
        assert other.model_copy(update={"model": model, "name": vicuna.name}) == vicuna


def test_a_file_may_extend_a_preset(tmp_path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("extends: demo\nname: own\ntrain: {max_steps: 7}\n")
    own, demo = load_sweep(str(path)), load_sweep("demo")
    assert own.train == demo.train.model_copy(update={"max_steps": 7})
    assert own.model_copy(update={"name": "demo", "train": demo.train}) == demo
    path.write_text("extends: dmo\nname: own\n")
    with pytest.raises(ConfigError, match="did you mean 'demo'"):
        load_sweep(str(path))


def test_one_value_can_be_set_from_the_command_line() -> None:
    given = load_sweep(
        "demo", ("train.max_steps=7", "search.learning_rate=[1e-4]", "tracking.uri=sqlite:///x.db")
    )
    assert given.train.max_steps == 7
    assert given.search.rates == (1e-4,)
    assert given.tracking.uri == "sqlite:///x.db"


def test_a_number_as_papers_write_it_is_a_number() -> None:
    assert load_yaml("[1e-4, 2E3, -1.5e+2]") == [1e-4, 2000.0, -150.0]


@pytest.mark.parametrize(
    ("total", "halts"), [(243, (25, 75, 225)), (10, (1, 3, 9)), (9, (1, 3)), (1, ())]
)
def test_asha_halts_at_grace_times_powers(total, halts) -> None:
    search = SearchConfig.model_validate({"strategy": ["full"], "scheduler": "asha"})
    assert rung_steps(search, total) == halts


def test_paths_are_relative_to_the_sweep_file(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nmodel: {tiny: true}\nsearch: {strategy: full}\ndata:\n"
        "  tune: {annotations: a.json, images: i}\n"
        "  select: {task: coco, annotations: /abs/b.json, images: i}\n"
    )
    given = load_sweep(str(tmp_path / "s.yaml"))
    assert given.data.tune.annotations == str(tmp_path / "a.json")
    assert given.data.select.annotations == "/abs/b.json"
