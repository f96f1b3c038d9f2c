"""What the frozen vision tower makes of images: computed once, kept on disk."""

import functools
import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lnt_core.config.opening import USUAL, Opening
from lnt_core.data.images import open_rgb
from lnt_core.devices.memory import pinned
from lnt_core.devices.numerics import numerics_in_force
from lnt_core.models.feature_files import FeatureFiles
from lnt_core.models.feature_kind import feature_kind
from lnt_core.models.images import ImageInputs
from lnt_core.models.vlm import VisionLanguageModel

Paths = tuple[Path, ...]
"""The image files of one conversation."""


@dataclass(frozen=True)
class _Read:
    """The images of one conversation, ready for the model or for its tower, on the host."""

    key: str
    """Hash of their content; empty where nothing is kept."""
    kept: ImageInputs | None
    """What was kept of them."""
    pixels: dict[str, Tensor] = field(default_factory=dict)
    """What goes through the tower, if nothing was kept."""


@dataclass(frozen=True)
class ReadImages:
    """The images of a batch, as far as they can be made ready without the model."""

    files: FeatureFiles | None
    """Where features are kept; None if they are not."""
    groups: Sequence[Paths]
    """The images of each conversation that has any."""
    found: dict[Paths, _Read]


Reader = Callable[[Sequence[Paths]], ReadImages]


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
        gives_way: Whether its features make room for those of other stores of this model; these
            use them as long as there is room for both.
    """

    def __init__(
        self,
        base: VisionLanguageModel,
        *,
        max_bytes: int,
        opening: Opening = USUAL,
        folder: Path | None = None,
        gives_way: bool = False,
    ) -> None:
        self._base = base
        self.opening = opening
        self._max_bytes = max_bytes
        self._folder = folder
        self._gives_way = gives_way
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
        return self.finished(self.reader()(groups))

    def reader(self) -> Reader:
        """A function that does of :meth:`get` what needs no model, which any thread may call.

        Raises:
            ConfigError: The file system of the folder has no locks.
        """
        files = self._current_files() if self._max_bytes else None
        return functools.partial(self._read, files)

    def finished(self, read: ReadImages) -> dict[str, Any]:
        """What :meth:`get` returns, from what a function of :meth:`reader` has read.

        Images that are not kept yet go through the tower, in this thread.
        """
        if not read.groups:
            return {}
        rows = {
            group: self._inputs(read.files, group, one).to(self.device)
            for group, one in read.found.items()
        }
        return self._base.joined([rows[group] for group in read.groups])

    def _read(self, files: FeatureFiles | None, groups: Sequence[Paths]) -> ReadImages:
        groups = [group for group in groups if group]
        found = {group: self._read_one(files, group) for group in dict.fromkeys(groups)}
        return ReadImages(files, groups, found)

    def _read_one(self, files: FeatureFiles | None, group: Paths) -> _Read:
        key = self._key(group) if files is not None else ""
        kept = files.read(key) if files is not None else None
        if kept is not None:
            return _Read(key, kept.pinned_for(self.device))
        images = [open_rgb(path, self.opening) for path in group]
        pixels = self._base.pixels_of(images)
        return _Read(key, None, {name: pinned(t, self.device) for name, t in pixels.items()})

    def _inputs(self, files: FeatureFiles | None, group: Paths, read: _Read) -> ImageInputs:
        if read.kept is not None:
            return read.kept
        if files is None or files.is_full:
            return self._base.through_tower(read.pixels)
        with files.making(read.key):
            kept = files.read(read.key)  # made by another process meanwhile, or earlier by this one
            if kept is None:
                kept = self._base.through_tower(read.pixels)
                if self._key(group) == read.key:  # else a file has changed since
                    files.write(read.key, kept)
        return kept

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
            self._files[numerics] = FeatureFiles(
                self._root, kind, max_bytes=self._max_bytes, gives_way=self._gives_way
            )
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
        return feature_kind(self._base, self.opening)
