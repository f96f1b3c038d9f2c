"""Images as an MLflow model takes them; tests/e2e loads whole models."""

import base64

import pytest
from PIL import Image

from lnt_core.config.opening import Opening
from lnt_core.errors import ConfigError, DataError
from lnt_core.evaluation.caption import Captioner
from sweeps.export.mlflow_model import CaptionModel, _is_small
from sweeps.results.selection import Trial
from sweeps.storage.execution import TrialStatus


class Seen(Captioner):
    """Opens images as a captioner does, and gives their sizes as captions."""

    def __init__(self, opening: Opening) -> None:
        object.__setattr__(self, "opening", opening)

    def caption(self, images, prompt=None) -> list[str]:
        return [f"{image.width} x {image.height}" for image in images]


@pytest.mark.parametrize(
    ("opening", "size"),
    [
        (Opening(), "4 x 9"),
        (Opening(exif_orientation=False), "9 x 4"),
        (Opening(max_pixels=9), "2 x 4"),
    ],
)
def test_files_and_base64_are_opened_as_in_training(opening, size, tmp_path) -> None:
    path, exif = tmp_path / "x.png", Image.Exif()
    exif[0x0112] = 6
    Image.new("I;16", (9, 4)).save(path, exif=exif)
    coded = base64.b64encode(path.read_bytes()).decode()
    model = CaptionModel(Seen(opening))
    assert model.predict([str(path), coded, f"data:image/png;base64,{coded}"]) == [size] * 3


@pytest.mark.parametrize("item", ["gone.png", "\0", "\ud800", "x" * 9999 + "!", "loop", 5, None])
def test_what_is_neither_a_file_nor_base64_is_refused(item, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop!").symlink_to("loop!")
    with pytest.raises(ConfigError, match=r"neither an existing file nor base64|must be text"):
        CaptionModel(Seen(Opening())).predict([f"{item}!" if item == "loop" else item])


def test_base64_of_no_image_is_refused() -> None:
    with pytest.raises(DataError, match="an image given by its content cannot be decoded"):
        CaptionModel(Seen(Opening())).predict([base64.b64encode(b"no image").decode()])


@pytest.mark.parametrize(
    ("trainable", "share", "small"),
    [(2**27, 0.5, True), (2**27 + 1, 0.5, False), (2**28, 1.0, True), (0, 0.0, False)],
)
def test_a_model_of_a_gib_in_float32_is_registered_with_its_base(trainable, share, small) -> None:
    trial = Trial("r", "t", "full", 1e-3, TrialStatus.FINISHED, 1.0, None, trainable, share)
    assert _is_small(trial) == small
