"""Order of samples, and padding of batches."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lnt_core.data.conversation import IGNORE, Encoded
from lnt_core.models.features import FeatureStore
from lnt_core.training.batches import collate, sample_order

CPU = torch.device("cpu")


def test_each_epoch_sees_every_sample_once_in_an_order_of_its_own() -> None:
    stream = sample_order(10, seed=0)
    epochs = [[next(stream) for _ in range(10)] for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 2
    assert epochs[0] != epochs[1]


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=9), min_size=1, max_size=4))
def test_padding_taken_off_again_gives_the_samples(rows) -> None:
    samples = [Encoded(tuple(row), tuple(row), ()) for row in rows]
    batch = collate(samples, pad_id=0, store=FeatureStore(None, max_bytes=0))
    for index, row in enumerate(rows):
        assert batch.input_ids[index, : len(row)].tolist() == row
        assert batch.labels[index, : len(row)].tolist() == row
        assert set(batch.labels[index, len(row) :].tolist()) <= {IGNORE}


def test_only_models_whose_tokens_look_ahead_get_a_mask() -> None:
    """The families in tests/contracts/ show that the others need none."""
    store = FeatureStore(None, max_bytes=0)
    looking_back = [Encoded((5, 6, 7), (5, 6, 7), (), {"mm_token_type_ids": (0, 1, 0)})]
    assert "attention_mask" not in collate(looking_back, pad_id=0, store=store).inputs(CPU)
    ahead = [Encoded((5,) * n, (5,) * n, (), {"token_type_ids": (1,) * n}) for n in (3, 1)]
    given = collate(ahead, pad_id=0, store=store).inputs(CPU)
    assert given["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert given["token_type_ids"].tolist() == [[1, 1, 1], [1, 0, 0]]
