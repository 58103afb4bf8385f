"""The mood of the market in a bot on live data, from a fake web."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from abidance.engine.config import StrategyConfig
from abidance.journal.store import read
from abidance.kernel.clock import EventClock
from abidance.kernel.log import logger
from abidance.market.bars import Bars
from abidance.market.readings import FEAR_GREED, NEWS, Readings
from abidance.market.store.moods import MoodStore
from abidance.model.errors import VenueError
from abidance.model.event import BarSlice
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import Bar, DataKind, FeedState, FeedStatus
from abidance.run.bot import JOURNAL
from abidance.run.config import RunConfig
from abidance.run.live import LivePaper, open_live
from abidance.run.moods import EVERY, LiveMoods
from abidance.run.sentiment import FEAR_GREED_URL, SentimentDesk
from abidance.run.setup import gather_live
from abidance.run.trading import Access, _dialects
from abidance.venues.account import Credentials
from abidance.venues.net.budget import Budgets
from abidance.venues.net.line import World
from abidance.venues.net.real import AiohttpTransport
from tests.integration.live_bench import START, breathe
from tests.integration.test_live_paper import BTC, MINUTE, Place

HOUR = 60 * MINUTE
STRATEGY = """\
import numpy as np
from abidance.strategy.base import BarStrategy, Signals


class Contrarian(BarStrategy):
    references = ("FEARGREED/INDEX@SENTIMENT",)

    def signals(self, bars):
        mood = bars.other("FEARGREED/INDEX@SENTIMENT")
        fear = bars.align(mood, mood.close)
        return Signals(np.where(fear < 40, 1.0, np.where(fear > 60, 0.0, np.nan)))
"""


class Web:
    """The index as it is published; without any it refuses."""

    def __init__(self, rows: dict[int, float]) -> None:
        self.rows = rows
        self.asked = 0

    def get(self, url: str, query: dict[str, str]) -> bytes:
        self.asked += 1
        if url != FEAR_GREED_URL or not self.rows:
            raise VenueError(f"{url} answered 503.", "Try again later.")
        # A value is known an hour after its stamp.
        data = [{"value": str(v), "timestamp": str((ts - HOUR) // SECOND_NS)} for ts, v in self.rows.items()]
        return msgspec.json.encode({"data": data})


class MoodyPlace(Place):
    """A place with moods, in a store of its own."""

    def __init__(self, folder: Path, rows: dict[int, float]) -> None:
        super().__init__(folder)
        self.web = Web(rows)
        self.clock = EventClock(START)
        (folder / "strategies").mkdir()
        (folder / "strategies" / "contrarian.py").write_text(STRATEGY)
        self.moods: LiveMoods | None = None

    async def live(self, seconds: float) -> LivePaper:
        """Let a bot with moods live for so long and return it, closed."""
        config = self.config(strategies=(StrategyConfig(strategy="Contrarian"),))
        self.clock.set(self.pulse.wall())
        desk = SentimentDesk(self.folder / "data", self.web, self.clock)
        self.moods = moods = LiveMoods(desk, self.pulse)
        paper = await open_live(
            config, self.history, self.folder / "strategies", self.folder, self.pulse.wall(), moods=moods
        )
        with paper:
            async with AiohttpTransport(heartbeat=0) as transport:
                world = World(transport, self.pulse, Budgets(self.pulse), lambda: 0.5, logger("test"))
                running = asyncio.ensure_future(
                    paper.run(world, lambda: False, self.moments.append, self.history, moods=moods)
                )
                await self.pass_time(seconds)
                if running.done():
                    running.result()
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
        return paper

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 10)):
            self.clock.set(self.pulse.wall())
            await super().pass_time(10)


def slices(folder: Path) -> list[BarSlice]:
    return [r.event for r in read(folder / JOURNAL).records if isinstance(r.event, BarSlice)]


def mood_bars(folder: Path) -> list[Bar]:
    return [bar for each in slices(folder) for bar in each.bars if bar.instrument == FEAR_GREED]


async def test_a_mood_bar_comes_in_the_slice_of_the_bars_that_close_with_it(tmp_path: Path) -> None:
    async with MoodyPlace(tmp_path, {START - 24 * HOUR: 30.0}) as place:
        paper = await place.live(5 * 60)

    assert len(slices(tmp_path)) >= 4
    assert {tuple(bar.instrument for bar in each.bars) for each in slices(tmp_path)} == {(BTC, FEAR_GREED)}
    assert [bar.ts for bar in mood_bars(tmp_path)] == [
        START + n * MINUTE for n in range(len(slices(tmp_path)))
    ]
    assert {bar.close for bar in mood_bars(tmp_path)} == {30.0}
    assert [fill.side.value for fill in paper.engine.fills][:1] == ["buy"]
    assert place.moments[-1].feeds == "3 streams certified"


async def test_a_reading_reaches_no_bar_that_closed_before_it(tmp_path: Path) -> None:
    known = START + 3 * MINUTE + 30 * SECOND_NS
    async with MoodyPlace(tmp_path, {START - 24 * HOUR: 30.0}) as place:
        place.web.rows[known] = 80.0
        await place.live(EVERY + 120)

    bars = mood_bars(tmp_path)
    came = next(bar.ts_close for bar in bars if bar.close == 80.0)
    assert {bar.close for bar in bars if bar.ts_close < came} == {30.0}
    assert (
        came > START + EVERY * SECOND_NS - MINUTE
    )  # it was asked for then, and no earlier bar was told anew


async def test_a_restart_repeats_the_same_decisions_and_asks_no_record_of_the_web(tmp_path: Path) -> None:
    async with MoodyPlace(tmp_path, {START - 24 * HOUR: 30.0}) as place:
        first = await place.live(4 * 60)
        fills, before = list(first.engine.fills), mood_bars(tmp_path)
        # What is stored by now is not what was known then.
        extra = Readings(FEAR_GREED, np.array([START + 90 * SECOND_NS]), np.array([99.0]), np.ones(1))
        MoodStore(tmp_path / "data").write(extra)
        await place.pass_time(120)
        second = await place.live(3 * 60)

    assert fills
    assert second.resumed > 0
    assert second.engine.fills[: len(fills)] == fills
    after = mood_bars(tmp_path)
    assert after[: len(before)] == before
    assert [bar.ts for bar in after] == [START + n * MINUTE for n in range(len(after))]
    assert after[len(before)].close == 99.0


async def test_a_source_that_fails_is_counted_and_ends_nothing(tmp_path: Path) -> None:
    async with MoodyPlace(tmp_path, {START - 24 * HOUR: 30.0}) as place:
        readings = Readings(FEAR_GREED, np.array([START - 24 * HOUR]), np.array([30.0]), np.ones(1))
        MoodStore(tmp_path / "data").write(readings)
        place.web.rows.clear()
        await place.live(3 * 60)

        assert place.moods is not None
        assert place.moods.failures == 1
    assert len(mood_bars(tmp_path)) >= 2


async def test_a_mood_that_is_too_old_gives_no_bars_and_no_certificate(tmp_path: Path) -> None:
    async with MoodyPlace(tmp_path, {START - 72 * HOUR: 30.0}) as place:
        paper = await place.live(3 * 60)

    states = [
        record.event.state
        for record in read(tmp_path / JOURNAL).records
        if isinstance(record.event, FeedStatus) and record.event.instrument == FEAR_GREED
    ]
    assert states == [FeedState.STALE]
    assert mood_bars(tmp_path) == []
    assert paper.engine.fills == []
    assert paper.engine.state.feeds.state(FEAR_GREED, DataKind.BARS) is FeedState.STALE


async def test_a_mood_that_nobody_knows_is_refused_with_the_cause(tmp_path: Path) -> None:
    async with MoodyPlace(tmp_path, {}) as place:
        with pytest.raises(VenueError, match="answered 503"):
            await place.live(10)


async def test_headlines_are_asked_for_and_kept_up_to_date(tmp_path: Path) -> None:
    feed = b"""<rss version="2.0"><channel><title>C</title><item><title>Bitcoin surges</title><guid>a</guid></item>
    </channel></rss>"""

    class News:
        def get(self, url: str, query: dict[str, str]) -> bytes:
            return feed

    clock = EventClock(START)
    place = Place(tmp_path)
    moods = LiveMoods(SentimentDesk(tmp_path, News(), clock), place.pulse)
    await moods.begin([NEWS])
    running = asyncio.ensure_future(moods.run())
    for _ in range(20):
        await breathe(5)
        await asyncio.sleep(0.01)
    running.cancel()

    bar = moods.bar((NEWS, "1m"), START)

    assert bar is not None
    assert bar.close > 60
    assert moods.bar((NEWS, "1m"), START - MINUTE) is None


def test_real_orders_need_no_account_at_the_venue_of_moods() -> None:
    config = RunConfig(instruments=(BTC,), strategies=(StrategyConfig(strategy="EmaCross"),))
    empty = Bars(BTC, "1h", np.empty(0, dtype=np.int64), np.empty((5, 0)))
    material = gather_live(config, {(BTC, "1h"): empty}, START, None)
    mood = Instrument(FEAR_GREED, *(Decimal(1),) * 4)
    material = replace(material, instruments={**material.instruments, FEAR_GREED: mood})

    dialects = _dialects(material, {"BINANCE": Access(Credentials("key", "secret"))})

    assert [dialect.venue for dialect in dialects] == ["BINANCE"]
