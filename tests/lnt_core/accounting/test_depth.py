"""Two shallow models tell what a deep one takes: the same numbers as the deep one's own step."""

import pytest

from lnt_core.accounting import depth
from lnt_core.accounting.generation import predict_generation_gib
from lnt_core.accounting.predicted import StepCost, predict_step
from lnt_core.accounting.step import StepShape
from lnt_core.config import ModelConfig, TrainConfig
from lnt_core.models.build import build_on_meta
from lnt_core.models.roles import find_roles
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import STRATEGIES, get_strategy
from tests.parts import VISION

pytestmark = pytest.mark.heavy

SHAPE = StepShape(batch=4, tokens=40, image_tokens=16, feature_channels=32, answer_tokens=20)
OWN = {
    "llama": {"intermediate_size": 64},
    "qwen2": {"intermediate_size": 96, "num_key_value_heads": 1},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
}


def deep(kind: str = "llama", *, vocab_size: int = 50):
    """Five blocks without weights; which moment is the peak depends on the vocabulary."""
    language = {
        "model_type": kind,
        "hidden_size": 32,
        "num_hidden_layers": 5,
        "num_attention_heads": 2,
        "max_position_embeddings": 512,
        "vocab_size": vocab_size,
    } | OWN[kind]
    shapes = {"language": language, "vision": VISION | {"model_type": "clip_vision_model"}}
    config = ModelConfig.model_validate(
        {"language_model": "x", "vision_tower": "y", "conversation": "plain", "shapes": shapes}
    )
    return build_on_meta(config).requires_grad_(False)


def both_ways(monkeypatch, predict):
    """Predicted from shallow models, and from the whole one."""
    shallow = predict()
    monkeypatch.setattr(depth, "SHALLOW", (2, 99))
    return shallow, predict()


def step_of(model, name: str, *, shape: StepShape = SHAPE, on_gpu: bool = False, **train):
    roles, strategy = find_roles(model), get_strategy(name)
    tuned = strategy.apply(model, roles, strategy.Config())
    own_trainable(tuned)
    content = {"batch_size": 4, "micro_batch_size": 4, "gradient_checkpointing": False} | train
    config = TrainConfig.model_validate(content)

    def predict() -> StepCost:
        return predict_step(tuned, strategy, roles, config, shape, on_gpu=on_gpu)

    return predict


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy(name, monkeypatch) -> None:
    """Prefix and prompt are run whole either way."""
    shallow, whole = both_ways(monkeypatch, step_of(deep(), name))
    assert shallow == whole


@pytest.mark.parametrize(("tokens", "vocab_size"), [(18, 5_000), (200, 50)])
@pytest.mark.parametrize(
    "changes",
    [
        {"on_gpu": True},
        {"gradient_checkpointing": True},
        {"batch_size": 8},
        {"batch_size": 8, "gradient_checkpointing": True, "precision": "bf16"},
    ],
)
@pytest.mark.parametrize("name", ["full", "lora"])
def test_wherever_the_peak_is(name, changes, tokens, vocab_size, monkeypatch) -> None:
    shape = StepShape(4, tokens, image_tokens=16, feature_channels=32, answer_tokens=tokens // 2)
    predict = step_of(deep(vocab_size=vocab_size), name, shape=shape, **changes)
    shallow, whole = both_ways(monkeypatch, predict)
    assert shallow == whole


@pytest.mark.parametrize("kind", OWN)
def test_other_architectures_and_captioning(kind, monkeypatch) -> None:
    model = deep(kind)
    step = step_of(model, "attn_mlp")
    roles = find_roles(model)

    def predict():
        captioning = predict_generation_gib(model, roles, SHAPE, max_new_tokens=20, bf16=False)
        return step(), captioning

    shallow, whole = both_ways(monkeypatch, predict)
    assert shallow == whole


def test_blocks_that_differ_are_all_run(monkeypatch) -> None:
    model = deep()
    model.model.language_model.layers[3].mlp.requires_grad_(True)
    runs = []
    monkeypatch.setattr(depth, "fake_twin", lambda m, without=(): runs.append(len(without)) or m)
    assert depth.at_full_depth(model, find_roles(model), lambda _twin: [3]) == [3]
    assert runs == [VISION["num_hidden_layers"]]  # only those of the tower are left out
