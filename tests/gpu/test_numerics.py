"""Number formats: what torch's switches really do on this device."""

from functools import partial

import pytest
import torch
from torch.nn.functional import conv2d

from lnt_core.devices.numerics import settle_numerics
from tests.gpu.shapes import chosen

pytestmark = pytest.mark.gpu
SHAPE = chosen()
TF32 = 2.0**-11
"""What TF32 rounds a factor by, relative to it (10 bits after the point)."""


@pytest.fixture(autouse=True)
def _as_before():
    yield
    settle_numerics("cpu", "fp32")


def error(operation, device: str, *factors: torch.Tensor) -> float:
    """Of a result on the device, relative to the norm of the same in float64."""
    exact = operation(*(factor.double() for factor in factors))
    found = operation(*(factor.to(device) for factor in factors)).cpu().double()
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_only_tf32_rounds_factors(precision, row) -> None:
    """TF32 in convolutions and matrix products"""
    if precision == "tf32" and not SHAPE.on_gpu:
        pytest.skip("a CPU has no TF32")
    settle_numerics(SHAPE.device, precision)
    square, image, kernel = (
        torch.randn(size) for size in ((256, 256), (4, 3, 224, 224), (64, 3, 14, 14))
    )
    patches = partial(conv2d, stride=14)  # as a vision tower's first layer
    product = error(torch.matmul, SHAPE.device, square, square)
    convolution = error(patches, SHAPE.device, image, kernel)
    if precision == "fp32":
        exact = f"< {TF32 / 20:.1g}"
        row("fp32: error of a matrix product", product, exact, product < TF32 / 20)
        row("fp32: error of a convolution", convolution, exact, convolution < TF32 / 20)
        return
    rounded = TF32 / 20 < product < 4 * TF32
    row("tf32: error of a matrix product", product, f"about {TF32:.1g}", rounded)
    row("tf32: error of a convolution", convolution)  # cuDNN may choose not to round
