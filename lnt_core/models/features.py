"""What the frozen vision tower makes of images: computed once, kept on disk."""

import hashlib
import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import PIL
import torch
import transformers

from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.images import open_rgb
from lnt_core.devices.numerics import numerics_in_force
from lnt_core.models.feature_files import FeatureFiles
from lnt_core.models.images import ImageInputs
from lnt_core.models.vlm import VisionLanguageModel

Paths = tuple[Path, ...]
"""The image files of one conversation."""
_NOT_OF_THE_TOWER = {"text_config", "_name_or_path", "transformers_version"}
"""Keys of a model's config that its features do not depend on."""


class FeatureStore:
    """The frozen vision tower's output, computed once per conversation's images and kept on disk.

    Images go through the tower one conversation at a time, so that features depend neither on a
    batch nor on whether they were kept. They are known by content: a changed file is computed anew.

    Args:
        base: The model whose tower computes the features.
        max_bytes: Limit of all features in ``folder``; images beyond it are recomputed on every
            use, all of them with 0.
        opening: How images are opened; the same for all images of a store, so
            that it never mixes the two.
        folder: Where features are kept and shared with other processes. Default: a temporary
            folder of this store.
    """

    def __init__(
        self,
        base: VisionLanguageModel,
        *,
        max_bytes: int,
        opening: Opening = USUAL,
        folder: Path | None = None,
    ) -> None:
        self._base = base
        self.opening = opening
        self._max_bytes = max_bytes
        self._folder = folder
        self._files: dict[str, FeatureFiles] = {}
        self._known: dict[Path, tuple[int, bytes]] = {}

    @property
    def device(self) -> torch.device:
        """The device of the model, where its inputs go."""
        return self._base.device

    def get(self, groups: Sequence[Paths]) -> dict[str, Any]:
        """What the model's forward pass takes for a batch of conversations, on its device.

        Args:
            groups: The images of each conversation that has any.

        Returns:
            Arguments of the forward pass; none without images.

        Raises:
            ConfigError: The file system of the folder has no locks.
            DataError: An image cannot be read.
        """
        groups = [group for group in groups if group]
        if not groups:
            return {}
        rows = {group: self._inputs(group).to(self.device) for group in dict.fromkeys(groups)}
        return self._base.joined([rows[group] for group in groups])

    def _inputs(self, group: Paths) -> ImageInputs:
        if not self._max_bytes:
            return self._computed(group)
        files, key = self._current_files(), self._key(group)
        kept = files.read(key)
        if kept is not None:
            return kept
        if files.is_full:
            return self._computed(group)
        with files.making(key):
            kept = files.read(key)  # made by another process meanwhile
            if kept is None:
                kept = self._computed(group)
                if self._key(group) == key:  # else a file has changed since
                    files.write(key, kept)
        return kept

    def _computed(self, group: Paths) -> ImageInputs:
        images = [open_rgb(path, self.opening) for path in group]
        return self._base.image_inputs([images])[0]

    def _key(self, group: Paths) -> str:
        """Hash of the content of a conversation's images."""
        return hashlib.sha256(b"".join(map(self._content_sha256, group))).hexdigest()

    def _content_sha256(self, path: Path) -> bytes:
        """Hash of a file, which is read again only if it has changed since."""
        try:
            found = path.stat()
            state = hash((found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
            if path not in self._known or self._known[path][0] != state:
                self._known[path] = (state, hashlib.sha256(path.read_bytes()).digest())
        except OSError:
            open_rgb(path)  # says in a DataError what is wrong with it
            raise
        return self._known[path][1]

    def _current_files(self) -> FeatureFiles:
        """Where features belong that are computed now, with the current number formats."""
        numerics = numerics_in_force(self.device)
        if numerics not in self._files:
            kind = hashlib.sha256(f"{self._kind} {numerics}".encode()).hexdigest()[:32]
            self._files[numerics] = FeatureFiles(self._root, kind, max_bytes=self._max_bytes)
        return self._files[numerics]

    @cached_property
    def _root(self) -> Path:
        if self._folder is not None:
            return self._folder
        own = tempfile.mkdtemp(prefix="lnt-features-")
        weakref.finalize(self, shutil.rmtree, own, ignore_errors=True)
        return Path(own)

    @cached_property
    def _kind(self) -> str:
        """Everything that features depend on, besides images and number formats."""
        base = self._base
        config = base.model.config
        preprocessing = [p for p in (base.image_processor, base.processor) if p is not None]
        return json.dumps(
            [
                type(base.model).__name__,
                {key: v for key, v in config.to_dict().items() if key not in _NOT_OF_THE_TOWER},
                config._attn_implementation,
                base.feature_layers,
                base.num_dropped,
                [str(part.to_dict()) for part in preprocessing],
                self.opening,
                self._tower_sha256(),
                [torch.__version__, transformers.__version__, PIL.__version__],
            ],
            default=str,
        )

    def _tower_sha256(self) -> str:
        """Hash of the tower's weights, without what it contains of the connector."""
        base, digest = self._base, hashlib.sha256()
        trained = {id(parameter) for parameter in base.connector.values()}
        for name, tensor in (*base.tower.named_parameters(), *base.tower.named_buffers()):
            if id(tensor) not in trained:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                flat = tensor.detach().cpu().reshape(-1).view(torch.uint8)
                digest.update(flat.numpy().data)
        return digest.hexdigest()
