"""The figures of what happens inside a model: which numbers are drawn where."""

import numpy as np
import pytest
from PIL import Image

from lnt_core.analysis.figures import draw_layers, draw_winners, layers_figure, winners_figure

MATRIX = [[1.0, 0.9, 0.2], [0.9, 1.0, 0.5], [0.2, 0.5, 1.0]]
MEAN = (0.9 + 0.2 + 0.5) / 3
EMPTY = "no trained parameters in the blocks"
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


def series(axes) -> dict[str, list[tuple[float, float]]]:
    return {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.lines}


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("case", ANALYSES)
def test_a_trials_figure_has_its_matrix_with_its_numbers(case) -> None:
    figure = layers_figure(ANALYSES[case], case)
    heat = figure.axes[0]
    assert np.array_equal(heat.images[0].get_array(), MATRIX)
    assert sorted(texts(heat)) == sorted(f"{value:.2f}" for row in MATRIX for value in row)
    assert heat.get_title() == f"similarity of layer outputs, mean {MEAN:.3f}"
    assert figure.get_suptitle() == case


def test_gradients_are_drawn_by_block_where_something_trains() -> None:
    lines = layers_figure(ANALYSES["all blocks"], "x").axes[1]
    assert series(lines) == {
        "all trained parameters": [(1, 1e-3), (2, 1e-5), (3, 1e-4)],
        "norms": [(1, 1e-4), (3, 1e-4)],  # a logarithmic axis has no zero
    }
    assert (lines.get_xlabel(), lines.get_yscale()) == ("block", "log")
    assert texts(lines) == []


@pytest.mark.parametrize("case", ["nothing in the blocks", "the base"])
def test_where_nothing_trains_in_the_blocks_it_says_so(case) -> None:
    lines = layers_figure(ANALYSES[case], "x").axes[1]
    assert series(lines) == {}
    assert texts(lines) == [EMPTY]


def test_winners_stand_side_by_side_in_their_order() -> None:
    bars, lines = winners_figure(list(ANALYSES.items())).axes
    assert [label.get_text() for label in bars.get_yticklabels()] == list(ANALYSES)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([MEAN] * 3)
    assert bars.yaxis_inverted()
    assert list(series(lines)) == ["all blocks"]


def test_both_are_written_as_png(tmp_path) -> None:
    draw_layers(ANALYSES["all blocks"], "x", tmp_path / "one.png")
    draw_winners(list(ANALYSES.items()), tmp_path / "all.png")
    sizes = [Image.open(tmp_path / name).size for name in ("one.png", "all.png")]
    assert sizes == [(900, 400), (1200, 500)]
