"""Paper trading on a replay: stored bars at their own pace, a simulated venue, a journal."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from abidance import __version__
from abidance.run.bot import JOURNAL, LOG, Bot, Moment
from abidance.run.config import RunConfig
from abidance.run.setup import BarSource, gather

__all__ = ["JOURNAL", "LOG", "Moment", "Paper"]


class Paper(Bot):
    """A bot on stored bars; open it, `run` it, close it."""

    def __init__(self, config: RunConfig, source: BarSource, strategies: Path | None, folder: Path) -> None:
        super().__init__(gather(config, source, strategies), folder)

    def run(self, speed: float, stop: Callable[[], bool], watch: Callable[[Moment], None]) -> bool:
        """Recover, then take the feed until it ends (True) or `stop()` (False).

        `speed` is how many seconds of market time pass in one second, 0 = as fast as possible. `watch` is called after
        each event and while waiting.
        """
        last, skip = self._recover()
        self._log.info("started", resumed=self.resumed, speed=speed, version=__version__)
        ends = [int(bars.ts_close[-1]) for bars in self.material.bars.values()]
        start, end = self.material.start, max(ends)
        self._listen()

        def idle() -> None:
            self._hear_people()
            watch(self._moment(last, start, end, speed))

        pace = _Pace(speed, stop, idle)
        feed = self.material.replay().events(after=None if last is None else last - 1)
        for event in islice(feed, skip, None):
            if not pace.wait(event.ts):
                return False
            self._pump.market(event)
            last = event.ts
            self._hear_people()
            watch(self._moment(last, start, end, speed))
            if stop():
                return False
        return True

    def _moment(self, last: int | None, start: int, end: int, speed: float) -> Moment:
        progress = 0.0 if last is None else (last - start) / (end - start)
        return Moment(self._core.engine, self._recorder, progress, self.resumed, speed)


class _Pace:
    """Holds events back until their time has come."""

    def __init__(self, speed: float, stop: Callable[[], bool], idle: Callable[[], None]) -> None:
        self._speed = speed
        self._stop = stop
        self._idle = idle
        self._origin: tuple[float, int] | None = None

    def wait(self, ts: int) -> bool:
        """Return True when the event at `ts` is due, False when it was told to stop."""
        if self._speed <= 0:
            return True
        if self._origin is None:
            self._origin = (time.monotonic(), ts)
        started, first = self._origin
        due = started + (ts - first) / 1e9 / self._speed
        while (left := due - time.monotonic()) > 0:
            if self._stop():
                return False
            time.sleep(min(left, 0.05))
            self._idle()
        return True
