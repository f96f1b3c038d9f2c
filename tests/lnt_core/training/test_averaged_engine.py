"""Stage 1 by several workers, in processes that have torch already."""

import json
import os
import signal

import pytest
import torch
import torch.distributed as dist

from lnt_core.config import AlignConfig
from lnt_core.models.build import load_base
from lnt_core.models.features import FeatureStore
from lnt_core.training.align import kept_connector, train_connector
from tests.parts import TRAIN, model_config, save_parts, text_config

pytestmark = pytest.mark.heavy
CONFIG = AlignConfig.model_validate(
    TRAIN | {"learning_rate": 1e-2, "max_steps": 9, "checkpoint_every_steps": 2, "batch_size": 6}
)
OF_TWO = "align.checkpoint-*"
"""Where two workers keep their checkpoints."""


@pytest.fixture(scope="module")
def with_dropout(tmp_path_factory) -> tuple[str, str]:
    """The micro model with dropout, whose masks each worker draws by itself."""
    return save_parts(tmp_path_factory.mktemp("dropout"), text_config("opt", dropout=0.1))


@pytest.fixture
def trained(scenes, tmp_path):
    """Trains stage 1 in a folder by so many workers. The losses that rank 0 told of, by step."""

    def work(parts, name: str, rank: int, workers: int, kill_at: int) -> dict[int, float]:
        if workers > 1:
            store = dist.FileStore(str(tmp_path / f"{name}-{os.getppid()}-{kill_at}"), workers)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=workers)
        torch.manual_seed(0)
        base = load_base(model_config(parts), cache=tmp_path)
        told: dict[int, float] = {}

        def report(step, metrics):
            told[step] = metrics["train/loss"]
            if step == kill_at and rank == workers - 1:
                os.kill(os.getpid(), signal.SIGKILL)

        saved, images = tmp_path / name / "align.pt", FeatureStore(base, max_bytes=2**20)
        train_connector(base, scenes.tune, CONFIG, store=images, saved=saved, report=report)
        return told

    def start(parts, name: str, *, workers: int, kill_at: int = 0) -> dict[int, float]:
        told = tmp_path / "told.json"
        children = []
        for rank in range(workers):
            child = os.fork()
            if child == 0:
                try:
                    losses = work(parts, name, rank, workers, kill_at)
                    if rank == 0:
                        told.write_text(json.dumps(losses))
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(child)
        ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        if kill_at:
            assert ends == [1] * (workers - 1) + [-signal.SIGKILL]  # none waits for ever
            return {}
        assert ends == [0] * workers
        return {int(step): loss for step, loss in json.loads(told.read_text()).items()}

    return start


@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_give_what_one_gives(parts, trained, tmp_path, workers) -> None:
    """Of 6 samples in micro-batches of 2, four workers have one micro-batch or half of one."""
    one, several = (trained(parts, f"by-{n}", workers=n) for n in (1, workers))
    assert sorted(several) == list(range(1, 10))
    assert several == pytest.approx(one, abs=1e-6)
    of_one, of_several = (kept_connector(tmp_path / f"by-{n}" / "align.pt") for n in (1, workers))
    assert all(torch.allclose(of_one[name], of_several[name], atol=1e-6) for name in of_one)
    assert [path.name for path in (tmp_path / f"by-{workers}").glob("align*")] == ["align.pt"]


def test_after_the_kill_of_one_they_end_with_the_same_connector_to_the_last_bit(
    with_dropout, trained, tmp_path
) -> None:
    whole = trained(with_dropout, "whole", workers=2)
    trained(with_dropout, "cut", workers=2, kill_at=6)
    assert not (tmp_path / "cut" / "align.pt").exists()
    assert list((tmp_path / "cut").glob(OF_TWO))
    assert trained(with_dropout, "cut", workers=2) == whole
    assert [path.name for path in (tmp_path / "cut").glob("align*")] == ["align.pt"]
    one, other = (kept_connector(tmp_path / name / "align.pt") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)
