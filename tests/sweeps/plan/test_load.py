"""Loading sweep files and presets: `extends`, overrides, relative paths."""

import pytest

from lnt_core.errors import ConfigError
from sweeps.plan.load import load_sweep, local_paths


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_presets_of_other_models_differ_in_nothing_else(size) -> None:
    vicuna = load_sweep(f"paper-{size}")
    for kind, hub, style in (
        ("llama2", "hf", "vicuna_v1"),
        ("llama2-chat", "chat-hf", "llava_llama_2"),
    ):
        other = load_sweep(f"paper-{size}-{kind}")
        assert other.model.language_model == f"meta-llama/Llama-2-{size}-{hub}"
        assert other.model.conversation == style
        same = {"language_model": vicuna.model.language_model, "conversation": "vicuna_v1"}
        model = other.model.model_copy(update=same)
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


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as refused:
        load_sweep("dmo")
    told = str(refused.value)
    assert told.startswith("SWEEP is 'dmo', but must be one of 'a file', 'demo', 'demo-all', ")
    assert told.endswith("'qwen2.5-vl-3b', 'smolvlm2-2.2b'; did you mean 'demo'?")


def test_one_value_can_be_set_from_the_command_line() -> None:
    given = load_sweep(
        "demo", ("train.max_steps=7", "search.learning_rate=[1e-4]", "tracking.uri=sqlite:///x.db")
    )
    assert given.train.max_steps == 7
    assert given.search.rates == (1e-4,)
    assert given.tracking.uri == "sqlite:///x.db"


def test_the_name_of_a_data_set_of_the_hub_is_no_path(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nextends: paper-7b\ndata:\n"
        "  tune: {annotations: 'hf://datasets/someone/photographs', columns: {answer: caption}}\n"
    )
    given = load_sweep(str(tmp_path / "mine.yaml"))
    assert given.data.tune.on_hub == "someone/photographs"
    assert not [v for k, v in local_paths(given.model_dump()) if k == "data.tune.annotations"]


def test_paths_are_relative_to_the_sweep_file(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nmodel: {tiny: true}\nsearch: {strategy: full}\ndata:\n"
        "  tune: {annotations: a.json, images: i}\n"
        "  select: {task: coco, annotations: /abs/b.json, images: i}\n"
    )
    given = load_sweep(str(tmp_path / "s.yaml"))
    assert given.data.tune.annotations == str(tmp_path / "a.json")
    assert given.data.select.annotations == "/abs/b.json"


def test_paths_of_reported_tasks_are_relative_too(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(
        "name: s\nmodel: {tiny: true}\nsearch: {strategy: full}\ndata:\n"
        "  tune: {annotations: a.json, images: i}\n"
        "  select: {task: vqav2, questions: q.json, annotations: b.json, images: i}\n"
        "  report: [{task: pope, annotations: pope, images: i}, {task: mme, images: /abs/mme}]\n"
    )
    given = load_sweep(str(tmp_path / "s.yaml")).data
    assert given.select.questions == str(tmp_path / "q.json")
    assert given.report[0].annotations == str(tmp_path / "pope")
    assert given.report[1].images == "/abs/mme"
    content = {"data": {"report": [{"task": "pope", "annotations": "pope", "images": "i"}]}}
    assert local_paths(content) == [
        ("data.report[0].annotations", "pope"),
        ("data.report[0].images", "i"),
    ]
