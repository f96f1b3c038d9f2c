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
    "checkpointing that is neither on nor off": (
        FULL + "train: {gradient_checkpointing: atuo}\nalign: {gradient_checkpointing: auto}",
        [
            "align.gradient_checkpointing is 'auto', but must be `true` or `false`: `auto` is for "
            "stage 2 (`train`) only",
            "train.gradient_checkpointing is 'atuo', but must be `true`, `false` or `auto`",
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
            "'scenes', 'vqav2', 'pope', 'mme', 'exact_match', 'loss', 'custom'; did you mean "
            "'flickr8k'?"
        ],
    ),
    "a task that is reported with keys of another": (
        FULL + "data: {tune: {annotations: a, images: b}, "
        "select: {task: loss, annotations: a, images: b}, "
        "report: [{task: pope, images: b, split: val}, {task: vqa}]}",
        [
            "data.report[0].annotations is missing: it has no default",
            "data.report[0].split is not a known key; known here: annotations, batch_size, images, "
            "max_new_tokens, name, prompt, source, task, when",
            "data.report[1].task is 'vqa', but must be one of 'flickr30k', 'flickr8k', 'coco', "
            "'scenes', 'vqav2', 'pope', 'mme', 'exact_match', 'loss', 'custom'; did you mean "
            "'vqav2'?",
        ],
    ),
    "numbers that are far too large": (
        FULL + "seed: 4294967296\nalign: {seed: 4294967296}\n"
        "train: {epochs: 1e308, batch_size: 2000000, max_length: 9999999}\n"
        "resources: {num_gpus: 1000000000, feature_cache_gib: 1e308}\n"
        "tracking: {system_metrics_every_s: 1e-9}\nbudget: {wall_clock_h: 1e308}",
        [
            "align.seed is 4294967296, but should be less than or equal to 4294967295",
            "train.epochs is 1e+308, but should be less than or equal to 10000",
            "train.batch_size is 2000000, but should be less than or equal to 1048576",
            "train.max_length is 9999999, but should be less than or equal to 1048576",
            "resources.feature_cache_gib is 1e+308, but should be less than or equal to 1000000",
            "resources.num_gpus is 1000000000, but should be less than or equal to 100000",
            "budget.wall_clock_h is 1e+308, but should be less than or equal to 1000000",
            "tracking.system_metrics_every_s: 1e-09 is neither 0 nor at least 0.1",
            "seed is 4294967296, but should be less than or equal to 4294967295",
        ],
    ),
    "a billion draws": (
        HEAD + "search: {strategy: [full], algorithm: random, num_trials: 1000000000, "
        "learning_rate: {low: 1e-5, high: 1e-2}}",
        ["search.num_trials is 1000000000, but should be less than or equal to 10000"],
    ),
    "options that are far too large": (
        HEAD + "search: {strategy: [{name: lora, rank: 100000000}, {name: adapter_serial, "
        "width: 100000000}, {name: prefix, num_tokens: 100000}, {name: prompt, num_tokens: 1e9}]}",
        [
            "search.strategy[0].rank is 100000000, but should be less than or equal to 16384",
            "search.strategy[1].width is 100000000, but should be less than or equal to 16384",
            "search.strategy[2].num_tokens is 100000, but should be less than or equal to 4096",
            "search.strategy[3].num_tokens is 1000000000.0, but should be less than or equal to "
            "4096",
        ],
    ),
    "a list of names": (
        HEAD + "search: {strategy: [{name: [lora, full]}]}",
        [
            "search.strategy[0] is ['lora', 'full'], but must be one of 'adalora', "
            "'adapter_serial', 'adapter_parallel', 'attn_mlp', 'attn_qv', 'connector', 'full', "
            "'layernorm', 'layernorm_simple', 'lora', 'prefix', 'prompt'"
        ],
    ),
    "options without end": (
        HEAD + f"search: {{strategy: [{{name: lora, rank: {list(range(1, 101))}, "
        f"alpha: {list(range(1, 101))}}}]}}",
        ["search.strategy[0] has 10,000 combinations of options, but must have at most 1,000"],
    ),
    "values of no plain kind": (
        FULL.replace("full]", "full], values: {train.deepspeed: [{a: 1}]}"),
        [
            "search.values: a value of `train.deepspeed` is a mapping or nested list, but must be "
            "a number, a text, null or a list of these"
        ],
    ),
    "steps of scoring out of order": (
        FULL + "train: {evaluate_at_steps: [9, 4]}",
        ["train: `evaluate_at_steps` is [9, 4], but must be ascending"],
    ),
    "a step of scoring before the first": (
        FULL + "train: {evaluate_at_steps: [-1, 9]}",
        ["train.evaluate_at_steps[0] is -1, but should be greater than or equal to 1"],
    ),
    "a step of scoring after the last": (
        FULL + "train: {evaluate_at_steps: [4, 9], max_steps: 9}",
        [
            "train: `evaluate_at_steps` has step 9, but must be below `max_steps` (9), where the "
            "trial is scored in any case"
        ],
    ),
    "a prompt with the image in it": (
        FULL + "data: {tune: {annotations: a, images: b}, "
        "select: {task: coco, annotations: a, images: b, prompt: '<image> What?'}}",
        ["data.select.prompt: `<image>` is put before the question: leave it out"],
    ),
    "an architecture without end": (
        "name: s\ndata: {scenes: {}}\nsearch: {strategy: [full]}\n"
        "model: {language_model: x, vision_tower: y, shapes: "
        "{language: {num_hidden_layers: 1000000000}, vision: {}}}",
        ["model.shapes.language: `num_hidden_layers` is 1e+09, but must be at most 1,000"],
    ),
    "four slips in four blocks": (
        HEAD + "search: {strategy: [full], learning_rate: [-1, 2]}\ntrian: {}\nseed: -1\n"
        "resources: {gpus_per_trial: 1.5}",
        [
            "search.learning_rate[0] is -1, but should be greater than 0",
            "search.learning_rate[1] is 2, but should be less than 1",
            "resources: `gpus_per_trial` is 1.5, but a process trains on one GPU and would leave "
            "the others idle: set it to 1; to train each trial on 2 GPUs, give "
            "`workers_per_trial: 2` and `train.deepspeed: zero2`",
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


TOO_DEEP = "found nesting deeper than 30 levels"
BOMB = "a0: &a0 [x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: " + "[" * 3000, TOO_DEEP),
        ("a: " + "[" * 31 + "]" * 31, TOO_DEEP),
        ("a: " + "{a: " * 3000, TOO_DEEP),
        ("- " * 3000 + "x", TOO_DEEP),
        ("a: &a [*a]", TOO_DEEP),
        (BOMB, "found more than 200000 keys and values"),
        (MERGES, "found more than 200000 keys and values"),
        ("1: x", "found the key 1, which is not text: put it in quotes"),
        ("on: x", "found the key on, which is not text: put it in quotes"),
        ("? [a]\n: x", "found the key sequence, which is not text: put it in quotes"),
        ('a: "\\ud800"', "found text with a NUL or half of a surrogate pair"),
        ('a: "\\0"', "found text with a NUL or half of a surrogate pair"),
        ('"\\0": a', "found text with a NUL or half of a surrogate pair"),
        ("a: !!int ''", "found a value that cannot be read as int"),
        ("a: !!bool x", "found a value that cannot be read as bool"),
        ("a: " + "9" * 5000, "found a value that cannot be read as int"),
        ("a: !!map [x]", "found something else than a mapping"),
        ("a: !!binary eA==", "could not determine a constructor for the tag"),
        ("a:\tb: c", "found character '\\t'"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_a_hostile_file_is_one_problem(text, told, tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    message = refusal(path)
    assert message.startswith("DIR/s.yaml is not valid YAML: ")
    assert told in message


def test_a_large_file_is_not_read(tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("# " + "x" * 2**20)
    assert refusal(path) == "DIR/s.yaml has more than 1,048,576 bytes, the limit of a YAML file"


def test_of_very_many_problems_the_first_are_told(tmp_path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(FULL + "".join(f"key{number}: 1\n" for number in range(5_000)))
    lines = refusal(path).splitlines()
    assert len(lines) == 102
    assert lines[-1] == "  and 4900 more"


@pytest.mark.parametrize("source", ["x" * 5000, "\0", "\ud800", "/root/x/y", "/dev/null", "/"])
def test_a_name_of_no_file_is_refused(source) -> None:
    with pytest.raises(ConfigError, match=r"SWEEP is .*must be one of 'a file'") as refused:
        load_sweep(source)
    assert len(str(refused.value)) < 1000


def test_an_override_deep_below_is_refused(tmp_path) -> None:
    (tmp_path / "s.yaml").write_text(FULL)
    message = refusal(tmp_path / "s.yaml", ".".join(["a"] * 5000) + "=1")
    assert message.endswith("must be at most 30 keys deep")


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
