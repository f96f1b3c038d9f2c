"""How often one optimizer step makes the host wait for the device."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore
from lnt_core.models.vlm import own_trainable
from lnt_core.strategies import get_strategy
from lnt_core.training.engines import PlainEngine
from lnt_core.training.loader import Loader, Loading
from lnt_core.training.optimizer_step import optimizer_step
from tests.parts import TRAIN


class Sgd(PlainEngine):
    """With an optimizer that reads nothing itself, as fused AdamW on a GPU."""

    def make_optimizer(self, groups, learning_rate):
        return torch.optim.SGD(groups, lr=learning_rate)


class Reads(TorchDispatchMode):
    """Counts the numbers, not labels or masks, that are read one by one."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_floating_point():
            self.count += 1
        return func(*args, **(kwargs or {}))


def test_loss_norm_and_penalty_are_read_together(base, scenes, trial_config, monkeypatch) -> None:
    config = trial_config(train=TRAIN | {"micro_batch_size": 1}).train
    strategy = get_strategy("adalora")  # which has a penalty
    monkeypatch.setattr(type(strategy), "after_step", lambda *_: None)  # PEFT reads a threshold
    model = strategy.apply(base.trial_copy(), base.roles, strategy.Config())
    own_trainable(model)
    engine = Sgd(model, strategy, config, learning_rate=1e-3, total=4)
    samples = [base.conversations.encode(s) for s in load_samples(scenes.tune, seed=0)[:4]]
    store = FeatureStore(base, max_bytes=2**20)
    store.get([sample.images for sample in samples])  # features are computed once
    loader = Loader([samples], Loading(store, pad_id=0, workers=0), size=1)
    share, together = loader.next_share(), []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(
        torch.Tensor, "tolist", lambda self: together.append(self.shape) or tolist(self)
    )
    with Reads() as reads:
        done = optimizer_step(engine, share, config, step=1, take=loader.take)
    assert together.count((3,)) == 1
    assert reads.count == 0
    assert [type(value) for value in (done.loss, done.grad_norm, done.penalty)] == [float] * 3
