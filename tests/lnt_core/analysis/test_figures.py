"""The figures of what happens inside a model."""

import pytest
from PIL import Image

from lnt_core.analysis.figures import draw_layers, draw_winners

MATRIX = [[1.0, 0.9, 0.2], [0.9, 1.0, 0.5], [0.2, 0.5, 1.0]]
ANALYSES = {
    "all blocks": {
        "layer_similarity": MATRIX,
        "gradient_variance": {"all": [1e-3, 1e-5, 1e-4], "norms": [1e-4, 0.0, 1e-4]},
    },
    "nothing in the blocks": {
        "layer_similarity": MATRIX,
        "gradient_variance": {"all": [None] * 3, "norms": [None] * 3},
    },
    "the base": {"layer_similarity": MATRIX},
}


@pytest.mark.parametrize("case", ANALYSES)
def test_a_trials_figure_shows_its_own_numbers(case, tmp_path) -> None:
    draw_layers(ANALYSES[case], case, tmp_path / "one.png")
    flat = ANALYSES[case] | {"layer_similarity": [[1.0] * 3] * 3}
    draw_layers(flat, case, tmp_path / "other.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "other.png") as other:
        assert one.size[0] > one.size[1] > 300
        assert one.tobytes() != other.tobytes()


def test_winners_stand_side_by_side(tmp_path) -> None:
    found = list(ANALYSES.items())
    draw_winners(found, tmp_path / "all.png")
    draw_winners(found[:2], tmp_path / "two.png")
    with Image.open(tmp_path / "all.png") as everyone, Image.open(tmp_path / "two.png") as two:
        assert everyone.tobytes() != two.tobytes()
