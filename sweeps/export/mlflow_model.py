"""Winners as MLflow models that caption images, loaded by `mlflow.pyfunc.load_model`.

A model's folder is the trial's folder of weights with `best.yaml` added, so nothing is stored
twice. The base is loaded by its name where the model is used, unless the folder has a merged
checkpoint.
"""

import base64
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lnt_core.devices.chosen import default_device
from lnt_core.errors import ConfigError, LntError
from lnt_core.evaluation.caption import Captioner
from lnt_core.models.plain import MERGED
from lnt_core.paths import is_file
from lnt_core.strategies import STRATEGIES
from sweeps.export.best import BEST, BestConfig, write_best
from sweeps.results.selection import Trial
from sweeps.settings import quiet_transformers

logger = logging.getLogger(__name__)
MAX_MERGED_GIB = 1.0
"""Models that are larger in float32 are registered without their base."""


def make_model(weights: Path, trial: Trial, best: BestConfig, cache: Path) -> None:
    """Make a winner's folder of weights an MLflow model, merged with its base if that is small.

    A base that cannot be loaded or merged here is left out, with a warning.

    Args:
        weights: The trial's folder of weights.
        trial: The winner.
        best: The content of its `best.yaml`, which is written into the folder.
        cache: Folder that caches the tiny model.
    """
    write_best(best, weights / BEST)
    write_model_files(weights, trial.run_id)
    if _is_small(trial) and STRATEGIES[trial.strategy].merges and not (weights / MERGED).is_dir():
        from lnt_core.evaluation.caption import write_merged

        quiet_transformers()
        draft = weights / f".{MERGED}"
        try:
            write_merged(best.trial, weights, draft, cache=cache)
            draft.rename(weights / MERGED)
        except (LntError, OSError) as error:
            logger.warning("%s is registered without its base: %s", trial.strategy, error)


def _is_small(trial: Trial) -> bool:
    """Whether all parameters take at most ``MAX_MERGED_GIB`` in float32.

    Their number follows from the trainable parameters and their share.
    """
    if not trial.trainable_share > 0:
        return False
    return trial.trainable_parameters / trial.trainable_share * 4 <= MAX_MERGED_GIB * 2**30


REQUIREMENTS = ("torch", "transformers", "peft")


class CaptionModel:
    """The Python model inside the MLflow model; ``predict`` is MLflow's interface."""

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[str]:
        """A caption for each image.

        Args:
            model_input: Image files, each as a path or as its content in base64: a list, a single
                string, or a pandas data frame with one column.
            params: Part of MLflow's interface; not used.

        Raises:
            LntError: An image cannot be read.
        """
        sources = [_source(item) for item in _items(model_input)]
        return self._captioner.caption([self._captioner.open(source) for source in sources])


def _load_pyfunc(path: str) -> CaptionModel:
    """Load the model from its folder; MLflow calls this function by its name."""
    from sweeps.export.best import BEST, load_best
    from sweeps.settings import quiet_transformers, read_settings

    quiet_transformers()
    folder = Path(path)
    trial = load_best(folder / BEST).trial
    return CaptionModel(
        Captioner.load(trial, folder, cache=read_settings().cache, device=default_device())
    )


def write_model_files(folder: Path, run_id: str) -> None:
    """Add the files that make a folder with weights and `best.yaml` an MLflow model."""
    from importlib.metadata import version

    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, Schema
    from mlflow.utils.environment import _PythonEnv

    from lnt_core import __version__

    pins = [f"lnt-sweeps=={__version__}", *(f"{name}=={version(name)}" for name in REQUIREMENTS)]
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    _PythonEnv.current().to_yaml(str(folder / "python_env.yaml"))
    # a column without a name accepts a list and any data frame with one column
    signature = ModelSignature(Schema([ColSpec("string")]), Schema([ColSpec("string")]))
    model = Model(artifact_path=folder.name, run_id=run_id, signature=signature)
    pyfunc.add_to_model(model, loader_module=__name__, python_env="python_env.yaml")
    model.save(str(folder / "MLmodel"))


def _items(model_input: Any) -> Iterable[Any]:
    """The strings in the input; MLflow turns a list into a data frame with one column."""
    if hasattr(model_input, "columns"):
        return list(model_input.iloc[:, 0])
    return [model_input] if isinstance(model_input, str) else list(model_input)


def _source(item: Any) -> Path | bytes:
    """The path or the content of an image, from one item of the input."""
    if not isinstance(item, str):
        raise ConfigError(f"{item!r:.80} is a {type(item).__name__}, but must be text")
    if is_file(item):
        return Path(item)
    try:
        return base64.b64decode(item.rpartition("base64,")[2], validate=True)
    except ValueError:
        raise ConfigError(f"{item[:80]!r} is neither an existing file nor base64") from None
