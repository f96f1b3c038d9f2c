"""YAML read strictly, and what is said of the commonest slips in a sweep file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnt_core.errors import ConfigError
from sweeps.plan.load import load_sweep
from sweeps.validation import load_yaml

HEAD = "name: s\nmodel: {tiny: true}\n"
FULL = HEAD + "search: {strategy: [full], learning_rate: [1e-3]}\n"

# What a file says, and what is said of it.
SLIPS: dict[str, tuple[str, list[str]]] = {
    "one rate without brackets": (
        HEAD + "search: {strategy: [full], learning_rate: 1e-3}",
        ["search.learning_rate: 0.001 is neither `paper`, nor a list, nor a range {low, high}"],
    ),
    "the rates' name misspelt": (
        HEAD + "search: {strategy: [full], learning_rate: papr}",
        ["search.learning_rate: 'papr' is neither `paper`, nor a list, nor a range {low, high}"],
    ),
    "nan as YAML writes it": (
        HEAD + "search: {strategy: [full], learning_rate: [.nan, 1e-3]}",
        ["search.learning_rate[0] is nan, but should be a finite number"],
    ),
    "an endless rate": (
        HEAD + "search: {strategy: [full], learning_rate: [1e-3, .inf]}",
        ["search.learning_rate[1] is inf, but should be a finite number"],
    ),
    "a range upside down": (
        HEAD + "search: {strategy: [full], algorithm: random, num_trials: 2, "
        "learning_rate: {low: 1e-2, high: 1e-3}}",
        ["search.learning_rate: `low` (0.01) must be below `high` (0.001)"],
    ),
    "a range's end misspelt and the other too high": (
        HEAD + "search: {strategy: [full], algorithm: random, num_trials: 2, "
        "learning_rate: {lo: 1e-5, high: 2}}",
        [
            "search.learning_rate.low is missing: it has no default",
            "search.learning_rate.high is 2, but should be less than 1",
            "search.learning_rate.lo is not a known key; did you mean 'low'?",
        ],
    ),
    "an algorithm misspelt": (
        HEAD + "search: {strategy: [full], algorithm: gird}",
        [
            "search.algorithm is 'gird', but must be one of 'grid', 'random', 'tpe'; "
            "did you mean 'grid'?"
        ],
    ),
    "draws without a count": (
        HEAD + "search: {strategy: [full], algorithm: tpe}",
        ["search: `algorithm: tpe` needs `num_trials`"],
    ),
    "a count for a grid": (
        HEAD + "search: {strategy: [full], num_trials: 3}",
        ["search: `num_trials` is for `random` and `tpe`; a grid is run in full"],
    ),
    "no search": (HEAD, ["search is missing: it has no default"]),
    "two kinds of model": (
        "name: s\nmodel: {tiny: true, checkpoint: x}\nsearch: {strategy: [full]}",
        ["model: give exactly one of: `language_model` with `vision_tower`, `checkpoint`, `tiny`"],
    ),
    "half a model": (
        "name: s\nmodel: {language_model: x}\ndata: {scenes: {}}\nsearch: {strategy: [full]}",
        ["model: `language_model` and `vision_tower` belong together: give both"],
    ),
    "a model without data": (
        "name: s\nmodel: {checkpoint: x}\nsearch: {strategy: [full]}",
        ["missing `data`: only the tiny model works without it"],
    ),
    "half the data": (
        FULL + "data: {tune: {annotations: a, images: b}}",
        ["data: missing `select`"],
    ),
    "a micro batch that is no number": (
        FULL + "train: {micro_batch_size: atuo}\nalign: {micro_batch_size: auto}",
        [
            "align.micro_batch_size is 'auto', but must be a whole number: `auto` is for stage 2 "
            "(`train`) only",
            "train.micro_batch_size is 'atuo', but must be `auto` or a whole number of at least 1",
        ],
    ),
    "batches that do not divide": (
        FULL + "train: {batch_size: 10, micro_batch_size: 4}",
        ["train: `batch_size` (10) must be a multiple of `micro_batch_size` (4)"],
    ),
    "two lengths of training": (
        FULL + "train: {epochs: 1, max_steps: 4}",
        ["train: give `epochs` or `max_steps`, not both"],
    ),
    "a task nobody knows": (
        FULL + "data: {tune: {annotations: a, images: b}, "
        "select: {task: flickr, annotations: a, images: b}}",
        [
            "data.select.task is 'flickr', but must be one of 'flickr30k', 'flickr8k', 'coco', "
            "'scenes'; did you mean 'flickr8k'?"
        ],
    ),
    "four slips in four blocks": (
        HEAD + "search: {strategy: [full], learning_rate: [-1, 2]}\ntrian: {}\nseed: -1\n"
        "resources: {gpus_per_trial: 1.5}",
        [
            "search.learning_rate[0] is -1, but should be greater than 0",
            "search.learning_rate[1] is 2, but should be less than 1",
            "resources: `gpus_per_trial` above 1 must be a whole number",
            "seed is -1, but should be greater than or equal to 0",
            "trian is not a known key; did you mean 'train'?",
        ],
    ),
}


def refusal(path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as refused:
        load_sweep(str(path), overrides)
    return str(refused.value).replace(str(path.parent), "DIR")


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_named_with_its_place(slip, tmp_path) -> None:
    text, problems = SLIPS[slip]
    (tmp_path / "s.yaml").write_text(text)
    count = f"{len(problems)} problem" + ("s" if len(problems) > 1 else "")
    expected = "\n".join([f"DIR/s.yaml: {count}", *(f"  {problem}" for problem in problems)])
    assert refusal(tmp_path / "s.yaml") == expected


def test_a_file_that_is_not_yaml_is_shown_where(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text("name: [a\nb: }")
    assert refusal(tmp_path / "s.yaml") == (
        "DIR/s.yaml is not valid YAML: while parsing a flow sequence\n"
        '  in "<unicode string>", line 1, column 7:\n'
        "    name: [a\n"
        "          ^\n"
        "expected ',' or ']', but got ':'\n"
        '  in "<unicode string>", line 2, column 2:\n'
        "    b: }\n"
        "     ^"
    )


def test_a_key_twice_deep_inside_is_shown_where(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\ntrain:\n  epochs: 1\n  epochs: 2\n")
    assert refusal(tmp_path / "s.yaml") == (
        "DIR/s.yaml is not valid YAML: key 'epochs' is given twice\n"
        '  in "<unicode string>", line 3, column 3:\n'
        "      epochs: 1\n"
        "      ^"
    )


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_a_file_that_is_no_mapping_is_refused(text, tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(text)
    assert refusal(tmp_path / "s.yaml") == ("DIR/s.yaml must be a mapping of keys to values")


def test_a_file_that_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / "s.yaml").write_bytes(b"\xff\xfe\x00")
    assert refusal(tmp_path / "s.yaml").startswith("DIR/s.yaml is not valid YAML: ")


@pytest.mark.parametrize("override", ["train.epochs", "=5"])
def test_an_override_without_key_or_value_is_refused(override, tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(FULL)
    message = f"--set is {override!r}, but must be key.path=value"
    assert refusal(tmp_path / "s.yaml", override) == message


def test_an_override_of_an_unknown_key_is_refused_like_the_files(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(FULL)
    assert refusal(tmp_path / "s.yaml", "trian.epochs=1") == (
        "DIR/s.yaml: 1 problem\n  trian is not a known key; did you mean 'train'?"
    )


@given(st.floats(min_value=1e-12, max_value=0.999, allow_nan=False))
def test_every_float_is_read_as_python_writes_it(rate) -> None:
    assert load_yaml(repr(rate)) == rate


def test_a_number_as_papers_write_it_is_a_number() -> None:
    assert load_yaml("[1e-4, 2E3, -1.5e+2]") == [1e-4, 2000.0, -150.0]


@pytest.mark.parametrize("text", ["1e", "e-4", "1e-4x", "v1e4", "1.2.3"])
def test_words_that_look_like_numbers_stay_words(text) -> None:
    assert load_yaml(text) == text


def test_a_date_stays_text() -> None:
    assert load_yaml("2026-01-02") == "2026-01-02"


def test_a_block_can_be_written_once_and_merged() -> None:
    text = "align: &a {max_steps: 5, batch_size: 8}\ntrain: {<<: *a, max_steps: 7}"
    assert load_yaml(text)["train"] == {"max_steps": 7, "batch_size": 8}
