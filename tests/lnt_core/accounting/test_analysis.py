"""The predicted analysis of layers, against what torch holds and computes in a real one."""

import pytest
import torch

from lnt_core.accounting.analysis import predict_analysis
from lnt_core.accounting.ledger import Ledger
from lnt_core.accounting.step import StepShape
from lnt_core.analysis.similarity import BATCH, layer_similarity
from lnt_core.data.samples import load_samples
from lnt_core.devices.memory import GIB
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.strategies import STRATEGIES, get_strategy
from tests.parts import model_config, save_parts, text_config

pytestmark = pytest.mark.wide


def measured(base, model, prompts, images, *, bf16: bool) -> tuple[float, int]:
    """GiB that the analysis adds to the weights, and its FLOPs."""
    store = FeatureStore(base, max_bytes=2**20)
    store.get([(image,) for image in images])  # the tower is no part of it
    ledger = Ledger()
    for tensor in (*model.parameters(), *model.buffers(), *base.model.parameters()):
        ledger.add(tensor)
    before = ledger.live_bytes
    with ledger:
        layer_similarity(model, base.roles, prompts, images, store, bf16=bf16)
    return (ledger.peak_bytes - before) / GIB, ledger.flops


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A base of more blocks than are simulated, and wider than a prompt is long, as all are.

    The causal mask, which fake tensors need and real ones do not, is small then.
    """
    folder = tmp_path_factory.mktemp("deep")
    torch.manual_seed(0)
    shape = {"num_hidden_layers": 5, "hidden_size": 256, "intermediate_size": 512}
    return load_base(model_config(save_parts(folder, text_config(**shape))), cache=folder)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_it_holds_and_computes_what_was_predicted(name, bf16, deep, scenes) -> None:
    strategy = get_strategy(name)
    model = strategy.apply(deep.trial_copy(), deep.roles, strategy.Config())
    images = list(dict.fromkeys(s.images[0] for s in load_samples(scenes.tune, seed=0)))[:BATCH]
    prompts = [deep.conversations.encode_prompt("What is there?", [image]) for image in images]
    shape = StepShape(
        batch=len(images),
        tokens=len(prompts[0].input_ids),
        image_tokens=16,
        feature_channels=32,
        answer_tokens=0,
    )
    found = predict_analysis(model, deep.roles, shape, bf16=bf16, on_gpu=False)
    gib, flops = measured(deep, model, prompts, images, bf16=bf16)
    assert found.gib == pytest.approx(gib, rel=0.05)
    assert found.flops == pytest.approx(flops, rel=0.05)


def test_a_gpu_holds_one_block_however_many_there_are(tmp_path) -> None:
    shape = StepShape(batch=32, tokens=300, image_tokens=16, feature_channels=32, answer_tokens=0)
    parts = {n: save_parts(tmp_path / str(n), text_config(num_hidden_layers=n)) for n in (2, 6)}
    bases = [load_base(model_config(found), cache=tmp_path) for found in parts.values()]
    on_gpu, on_cpu = (
        [predict_analysis(b.model, b.roles, shape, bf16=False, on_gpu=on).gib for b in bases]
        for on in (True, False)
    )
    assert on_gpu[0] == on_gpu[1]
    assert on_cpu[1] - on_cpu[0] == pytest.approx(4 * BATCH * 300 * 32 * 4 / GIB)
