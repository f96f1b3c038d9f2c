"""After which optimizer steps a checkpoint is written: by their number, or by time."""

import time
from collections.abc import Callable

from lnt_core.config import TrainConfig
from lnt_core.distributed.ranks import is_first
from lnt_core.training.engine import Number

MAX_SHARE = 0.05
"""Largest share of the time that checkpoints take where nothing says how often (assumed: with a
failure every 4 hours, the least is lost at about this share for one of 75 GiB, by
T = sqrt(2 x seconds of writing x seconds between failures); Young 1974, CACM 17(9))."""
LEAST_S = 30.0  # assumed: so much work may be lost, however fast a checkpoint is written


class CheckpointTimes:
    """Tells the training loop when to write; all workers of a trial get the same answers.

    Args:
        config: `checkpoint_every_steps` or `checkpoint_every_s`; without either, the time between
            two checkpoints follows how long the last one took to write.
        summed: Sums a number over all workers, each of which calls it.
        clock: Seconds since some moment.
    """

    def __init__(
        self,
        config: TrainConfig,
        summed: Callable[[Number], Number],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps, self._given_s = config.checkpoint_every_steps, config.checkpoint_every_s
        self._summed, self._clock = summed, clock
        self._wait_s = LEAST_S if self._given_s is None else self._given_s
        self._last_s = clock()

    def due(self, step: int) -> bool:
        """Whether to write after this step; by time, the clock of rank 0 decides for all."""
        if self._steps is not None:
            return step % self._steps == 0
        late = self._clock() - self._last_s >= self._wait_s
        return bool(self._summed(float(late and is_first())) > 0)

    def write(self, save: Callable[[], None]) -> None:
        """Call ``save``, which writes a checkpoint, and count the time from its end."""
        began_s = self._clock()
        save()
        self._last_s = self._clock()
        if self._given_s is None:
            self._wait_s = max(LEAST_S, (self._last_s - began_s) / MAX_SHARE)
