"""Number formats: what torch's switches really do on this device."""

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
        torch.randn(256, 256),
        torch.randn(4, 32, 56, 56),
        torch.randn(64, 32, 14, 14),
    )
    for name, operation, factors in (
        ("matrix product", torch.matmul, (square, square)),
        ("convolution", conv2d, (image, kernel)),
    ):
        off, exact = error(operation, SHAPE.device, *factors), precision == "fp32"
        ok = off < TF32 / 20 if exact else TF32 / 20 < off < 4 * TF32
        expected = f"{'<' if exact else '>'} {TF32 / 20:.1g}"
        row(f"{precision}: error of a {name}", off, expected, ok)
