"""What a user is told where Ray does not start."""

import pytest

from lnt_core.errors import ConfigError
from sweeps.driver.ray_start import start_ray


@pytest.mark.heavy
def test_a_ray_that_does_not_start_is_told_in_a_sentence(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 30)))  # longer than a socket's name
    with pytest.raises(ConfigError, match=r"Ray does not start on this machine: .* try again"):
        start_ray(None)
