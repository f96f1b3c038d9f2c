"""Makes the micro-batches of the steps to come, beside the training."""

import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from lnt_core.data.conversation import Encoded
from lnt_core.models.features import FeatureStore, Reader
from lnt_core.training.batches import Batch, LoadedBatch, load_batch
from lnt_core.training.shares import Share, own_share


class _Coming(Protocol):
    """A micro-batch that is being made, or will be when it is asked for."""

    def result(self) -> LoadedBatch: ...


@dataclass(frozen=True)
class _WhenDue:
    load: Callable[[], LoadedBatch]

    def result(self) -> LoadedBatch:
        return self.load()


@dataclass(frozen=True)
class Loading:
    """How micro-batches are made."""

    store: FeatureStore
    """Image features."""
    pad_id: int
    """Id of the padding token."""
    workers: int = 1
    """Threads that make them ahead. 0: each is made when it is due. No digit depends on them."""


AHEAD = 2
"""Micro-batches that are ready or being made for each thread; they take memory."""


class Loader:
    """Gives the training its share of each global batch, and the micro-batches of that.

    Threads open, scale and pad ahead; features that are not kept yet are computed in the thread
    that trains, when their micro-batch is due. So order and digits do not depend on the threads.
    Threads do, since Pillow, NumPy, hashes and files let others run meanwhile; processes would each
    hold tokenizer and data. A context: threads end with it.

    Args:
        batches: The global batches of the steps to come; read ahead.
        loading: How their micro-batches are made.
        size: Most samples of a micro-batch.
        most_tokens: Tokens for which one worker takes more of them; see ``shares``.
    """

    def __init__(
        self,
        batches: Iterable[Sequence[Encoded]],
        loading: Loading,
        *,
        size: int,
        most_tokens: int = 0,
    ) -> None:
        workers = loading.workers
        self._batches = batches
        self._loading = loading
        self._size, self._most_tokens = size, most_tokens
        self._pool = ThreadPoolExecutor(workers, "lnt-loader") if workers else None
        self._room = AHEAD * workers or 1
        self._shares: deque[Share] = deque()
        self._coming: deque[_Coming] = deque()
        self._to_load = self._in_order()
        self.waited_s = 0.0
        """Seconds that the training has waited for micro-batches, or has worked on them itself."""

    def next_share(self) -> Share:
        """The share of the next global batch.

        Raises:
            IndexError: There is none.
        """
        with self._waiting():
            self._load_ahead()
        return self._shares.popleft()

    def take(self) -> Batch:
        """The next micro-batch of the share that was given last.

        Raises:
            DataError: An image cannot be read.
        """
        due = self._coming.popleft()
        with self._waiting():
            self._load_ahead()
            loaded = due.result()
        return loaded.finished(self._loading.store)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.waited_s += time.perf_counter() - started

    def _in_order(self) -> Iterator[Sequence[Encoded]]:
        for chosen in self._batches:
            share = own_share(chosen, size=self._size, most_tokens=self._most_tokens)
            self._shares.append(share)
            for samples in share.micro_batches:
                yield samples or share.stand_in

    def _load_ahead(self) -> None:
        while len(self._coming) < self._room:
            samples = next(self._to_load, None)
            if samples is None:
                return
            load = functools.partial(self._load, samples, self._loading.store.reader())
            self._coming.append(_WhenDue(load) if self._pool is None else self._pool.submit(load))

    def _load(self, samples: Sequence[Encoded], read: Reader) -> LoadedBatch:
        loaded = load_batch(samples, pad_id=self._loading.pad_id, read=read)
        return loaded.pinned_for(self._loading.store.device)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
