"""The mood of the market in a run on live data: asked for again and again beside the run, told at the close of bars.

Sources are asked in a thread of their own; one that fails is counted and logged, and ends nothing. A mood bar is made
of the readings that were there when it closed: what is found later changes none that was told.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from abidance.kernel.log import logger
from abidance.market.bars import Bars
from abidance.market.live.slices import Series
from abidance.market.readings import FEAR_GREED, NEWS, Readings
from abidance.market.store import show
from abidance.model.errors import AbidanceError, DataError, VenueError
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import Bar
from abidance.run.sentiment import SentimentDesk
from abidance.venues.net.transport import Pulse

EVERY = 900.0
"""Seconds between two looks at the sources."""
_DAY = 86_400 * SECOND_NS


class LiveMoods:
    """The moods of one run (a `market.live.slices.Companion`): `begin`, then `run` beside the feed."""

    def __init__(self, desk: SentimentDesk, pulse: Pulse) -> None:
        self.failures = 0
        """How often a source failed."""
        self._desk, self._pulse = desk, pulse
        self._log = logger("sentiment")
        self._sources: dict[str, Callable[[], object]] = {
            FEAR_GREED: desk.refresh_fear_greed,
            NEWS: self._refresh_news,
        }
        self._readings: dict[str, Readings] = {}
        self._faults: dict[str, Exception] = {}
        self._asked: dict[str, int] = {}

    async def begin(self, ids: Iterable[str]) -> None:
        """Take what is stored of these moods; one of which nothing is known is asked for.

        Raises DataError when nothing can be had of it, VenueError when its source does not answer.
        """
        for id in dict.fromkeys(ids):
            await _beside(partial(self._load, id))
            if not len(self._readings[id]):
                await self._refresh(id)
            if not len(self._readings[id]):
                raise self._unknown(id)

    def _unknown(self, id: str) -> AbidanceError:
        found, fault = f"No reading of {id} is known", self._faults.get(id)
        if id not in self._sources:
            return DataError(f"{found}.", f"Known moods are {' and '.join(self._sources)}.")
        kind = VenueError if isinstance(fault, VenueError) else DataError
        return kind(
            f"{found}: {_told(fault)}." if fault else f"{found}.",
            "Fetch some first: abidance download-sentiment",
        )

    async def run(self) -> None:
        """Keep the moods up to date until cancelled."""
        while True:
            for id in self._readings:
                await self._refresh(id)
            await self._pulse.sleep(EVERY)

    def past(self, series: Series, start: int, end: int) -> Bars:
        """Return the closed bars that open from `start` and have closed by `end` (ns UTC)."""
        return self._readings[series[0]].bars(series[1], end, start)

    # --- a companion of the bars

    def bar(self, series: Series, ts: int) -> Bar | None:
        """Return the bar that opened at `ts`, None when the mood was not known over all of it or is too old."""
        id, timeframe = series
        close = ts + timeframe_ns(timeframe)
        if self.doubt(id, close):
            return None
        bars = self._readings[id].bars(timeframe, close, ts)
        return Bar(id, timeframe, ts, *(float(column[0]) for column in bars.columns())) if len(bars) else None

    def doubt(self, instrument: str, now: int) -> str:
        """Return why a mood should not be trusted now.

        A reading holds for two of the usual lengths between them; headlines, which come when they come, for as long as
        their sources answer.
        """
        readings = self._readings[instrument]
        last = int(readings.ts[-1])
        usual = last - int(readings.ts[-2]) if len(readings) > 1 else 0
        until = last + 2 * (usual if instrument == NEWS else max(usual, _DAY))
        if instrument == NEWS:
            until = max(until, self._asked.get(instrument, 0) + 2 * int(EVERY) * SECOND_NS)
        if now <= until:
            return ""
        why = f" ({_told(self._faults[instrument])})" if instrument in self._faults else ""
        return f"Its last reading is of {show(last)}{why}."

    # --- the sources

    async def _refresh(self, id: str) -> None:
        """Ask a mood's sources; whatever goes wrong is told, and what was known stays."""
        asked = self._pulse.wall()
        try:
            if (source := self._sources.get(id)) is not None:
                await _beside(source)
                self._asked[id] = asked
            await _beside(partial(self._load, id))
        except AbidanceError as error:
            self._fail(id, error)
        except Exception as error:  # noqa: BLE001 - a mood is never worth the end of the run
            self._log.exception("sentiment_failed", mood=id)
            self._fail(id, error)
        else:
            self._faults.pop(id, None)

    def _fail(self, id: str, error: Exception) -> None:
        self.failures += 1
        self._faults[id] = error
        self._log.warning("no_sentiment", mood=id, reason=_told(error), failures=self.failures)

    def _refresh_news(self) -> None:
        for fault in self._desk.refresh_news()[1]:
            self._log.warning("no_headlines", reason=fault)

    def _load(self, id: str) -> None:
        self._readings[id] = self._desk.store.readings(id)


def _told(error: Exception) -> str:
    text = error.found if isinstance(error, AbidanceError) else f"{type(error).__name__}: {error}"
    return text.rstrip(".")


async def _beside(work: Callable[[], object]) -> None:
    """Do work that blocks in a thread that keeps nobody from leaving; raise what it raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def thread() -> None:
        found: BaseException | None = None
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            found = error
        with suppress(RuntimeError):  # the loop has gone: nobody waits any more
            loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=thread, name="sentiment", daemon=True).start()
    await done
