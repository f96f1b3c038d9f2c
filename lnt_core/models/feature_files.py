"""Features of images on disk, which all processes that see the folder share.

A file holds the features of one conversation's images, behind a checksum. It appears whole, by a
rename, and is read rather than mapped: a file that is cut off under a mapping kills its process.
"""

import errno
import fcntl
import logging
import os
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load, save

from lnt_core.devices.memory import GIB
from lnt_core.errors import ConfigError
from lnt_core.files import DISK_FULL, write_bytes, write_text
from lnt_core.models.images import ImageInputs
from lnt_core.paths import shown

logger = logging.getLogger(__name__)
_CHECKSUM = 4
"""Bytes of the CRC-32 before the content."""
_SUFFIX = ".features"
_GIVES_WAY = "-gives-way"


class FeatureFiles:
    """The features that one tower makes with one preprocessing.

    Args:
        root: Folder of all kinds of features, whose sizes count together.
        kind: Hash of everything besides the images that features depend on.
        max_bytes: Limit of all files below ``root``.
        gives_way: Whether what is written makes room for what others write later, of the same kind
            too; both read it.

    Raises:
        ConfigError: The file system has no locks.
    """

    def __init__(self, root: Path, kind: str, *, max_bytes: int, gives_way: bool = False) -> None:
        self._root = root
        folders = root / kind, root / f"{kind}{_GIVES_WAY}"
        self._folder, self._beside = folders[::-1] if gives_way else folders
        self._max_bytes = max_bytes
        self._folder.mkdir(parents=True, exist_ok=True)
        self._in_use = _Lock(self._folder / "in_use.lock", fcntl.LOCK_SH)
        os.utime(self._folder / "in_use.lock")
        self.is_full = False
        """Whether this process has found no room."""

    def read(self, key: str) -> ImageInputs | None:
        """What was written for ``key``, on the host; None if there is nothing, or it is damaged."""
        payload = _payload_of(self._path(key))
        payload = payload or _payload_of(self._path(key, self._beside))
        return _parsed(payload) if payload else None

    @contextmanager
    def making(self, key: str) -> Iterator[None]:
        """Wait until no other process makes ``key``; a process that ends lets go of it."""
        lock = _Lock(self._folder / f"{key[:2]}.lock", fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.release()

    def write(self, key: str, inputs: ImageInputs) -> None:
        """Keep the features of ``key``, if there is room; replaces what is damaged."""
        payload, path = _payload(inputs), self._path(key)
        lock = _Lock(self._root / "size.lock", fcntl.LOCK_EX)
        try:
            before = path.stat().st_size if path.exists() else 0
            if before:
                logger.warning("%s is damaged: its features have been computed anew", shown(path))
            if self._make_room(_CHECKSUM + len(payload) - before):
                write_bytes(path, _crc32(payload) + payload)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            self._stop("the disk is full")
        finally:
            lock.release()

    def _make_room(self, size: int) -> bool:
        """Count ``size`` bytes more, before they are written, so that none is ever uncounted."""
        total = self._counted()
        if total + size > self._max_bytes:
            total = self._count()
        if total + size > self._max_bytes:
            self._drop_unused(size)
            total = self._count()
        if total + size > self._max_bytes:
            self._stop(f"`feature_cache_gib` is {self._max_bytes / GIB:g}")
            return False
        write_text(self._root / "size", str(total + size))
        return True

    def _stop(self, why: str) -> None:
        self.is_full = True
        logger.warning(
            "%s has no room for more features (%s): those of further images are computed on every "
            "use",
            shown(self._root),
            why,
        )

    def _counted(self) -> int:
        try:
            return int((self._root / "size").read_text())
        except (FileNotFoundError, ValueError):
            return self._count()

    def _count(self) -> int:
        """Bytes of all files; drafts are deleted, for nobody else writes now."""
        total = 0
        for path in self._root.glob("*/*/*"):
            if path.name.startswith("."):
                path.unlink()
            else:
                total += path.stat().st_size
        return total

    def _drop_unused(self, size: int) -> None:
        """Delete features of kinds that no process uses, the oldest use first, until there is room.

        Args:
            size: Bytes to make room for.
        """
        locks = list(self._root.glob("*/in_use.lock"))
        for path in sorted(locks, key=lambda lock: lock.stat().st_mtime):
            if path.parent == self._folder:
                continue
            try:
                lock = _Lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for file in path.parent.glob(f"*/*{_SUFFIX}"):
                file.unlink()
            lock.release()
            if self._count() + size <= self._max_bytes:
                return

    def _path(self, key: str, folder: Path | None = None) -> Path:
        return (folder or self._folder) / key[:2] / f"{key[2:]}{_SUFFIX}"


class _Lock:
    """A locked file, until it is released, collected, or the process ends."""

    def __init__(self, path: Path, how: int) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self.release = weakref.finalize(self, os.close, file)
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            self.release()
            raise
        except OSError as error:
            self.release()
            raise ConfigError(
                f"{shown(path)} cannot be locked ({error.strerror}): set LNT_CACHE to a folder on "
                "a file system with locks, or `resources.feature_cache_gib` to 0"
            ) from error


def _payload_of(path: Path) -> bytes:
    """The content of a file behind its checksum; empty if it is not there or is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
    checksum, payload = content[:_CHECKSUM], content[_CHECKSUM:]
    return payload if checksum == _crc32(payload) else b""


def _crc32(payload: bytes) -> bytes:
    return zlib.crc32(payload).to_bytes(_CHECKSUM, "big")


def _payload(inputs: ImageInputs) -> bytes:
    kept = inputs.copy_on_host()
    tensors = {f"feature.{number}": t for number, t in enumerate(kept.features)}
    tensors |= {f"key.{name}": tensor for name, tensor in kept.keys.items()}
    tensors["shape"] = torch.tensor(kept.shape, dtype=torch.int64)
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def _parsed(payload: bytes) -> ImageInputs:
    tensors = load(payload)
    count = sum(name.startswith("feature.") for name in tensors)
    return ImageInputs(
        tuple(tensors[f"feature.{number}"] for number in range(count)),
        tuple(tensors["shape"].tolist()),
        {name[4:]: tensor for name, tensor in tensors.items() if name.startswith("key.")},
    )
