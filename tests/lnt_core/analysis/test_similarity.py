"""Similarity of layers, compared with a direct computation."""

import pytest
import torch
from torch import nn

from lnt_core.analysis.similarity import layer_similarity, mean_similarity
from lnt_core.data.samples import load_samples
from lnt_core.models.features import FeatureStore


def test_similarity_is_the_cosine_of_each_pair_of_layers(base, scenes) -> None:
    model, store = base.trial_copy(), FeatureStore(base, max_bytes=2**20)
    images = list(dict.fromkeys(s.images[0] for s in load_samples(scenes.tune, seed=0)))
    prompt = base.conversations.encode_prompt("What is it?", images[:1])
    assert len(images) > 4
    matrix = layer_similarity(model, [prompt] * 5, images[:5], store)
    expected = torch.zeros(2, 2)
    for image in images[:5]:
        ids = torch.tensor([prompt.input_ids])
        with torch.no_grad():
            states = model(
                input_ids=ids, **store.get([(image,)]), output_hidden_states=True
            ).hidden_states
        for i in range(2):
            for j in range(2):
                cosine = nn.functional.cosine_similarity(states[i + 1], states[j + 1], dim=-1)
                expected[i, j] += cosine.mean() / 5
    assert torch.allclose(torch.tensor(matrix), expected, atol=1e-5)
    assert mean_similarity(matrix) == pytest.approx(float(expected[0, 1]), abs=1e-5)
