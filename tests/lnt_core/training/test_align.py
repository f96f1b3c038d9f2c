"""Stage 1: the connector alone."""

import math
import random

import pytest
import torch

from lnt_core.config import AlignConfig
from lnt_core.errors import TrialError
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.training.align import kept_connector, train_connector
from lnt_core.training.checkpoints import save_atomically
from tests.conftest import TRAIN, model_config
from tests.damage import WAYS, set_aside

CONFIG = AlignConfig.model_validate(TRAIN | {"learning_rate": 1e-2})


@pytest.fixture
def fresh(parts, tmp_path):
    torch.manual_seed(0)
    return load_base(model_config(parts), cache=tmp_path)


def test_it_trains_a_connector_and_leaves_the_base_as_it_is(fresh, scenes, tmp_path) -> None:
    before = {name: p.clone() for name, p in fresh.model.named_parameters()}
    store, saved = FeatureStore(fresh, max_bytes=2**20), tmp_path / "a.pt"
    assert kept_connector(saved) is None
    trained = train_connector(fresh, scenes.tune, CONFIG, store=store, saved=saved)
    assert all(torch.equal(p, before[n]) for n, p in fresh.model.named_parameters())
    own = fresh.connector.state_dict()
    assert trained.keys() == own.keys() == {"weight", "bias"}
    assert not any(torch.equal(trained[name], own[name]) for name in own)
    kept = kept_connector(saved)
    assert all(torch.equal(kept[name], trained[name]) for name in own)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_connector_is_set_aside_and_trained_again(way, tmp_path, caplog) -> None:
    saved = tmp_path / "align.pt"
    save_atomically({"weight": torch.ones(9999)}, saved)
    WAYS[way](saved, random.Random(7))
    assert kept_connector(saved) is None
    assert set_aside(tmp_path) == ["align.pt.damaged-1"]
    assert caplog.messages[0].endswith("and now align.pt.damaged-1: stage 1 is trained again")


def test_one_that_diverges_says_what_to_change(fresh, scenes, tmp_path) -> None:
    connector = fresh.model.get_submodule(fresh.roles.connector)
    torch.nn.init.constant_(connector.weight, math.nan)
    store = FeatureStore(fresh, max_bytes=2**20)
    with pytest.raises(TrialError) as failure:
        train_connector(fresh, scenes.tune, CONFIG, store=store, saved=tmp_path / "a.pt")
    assert str(failure.value) == (
        "stage 1 diverged at step 1 with align.learning_rate 0.01; choose a smaller one"
    )
    assert not (tmp_path / "a.pt").exists()
