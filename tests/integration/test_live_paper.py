"""A paper bot on live data, over real sockets, in a time that the test moves."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from abidance.engine.config import StrategyConfig
from abidance.journal.store import read
from abidance.kernel.log import logger
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.model.errors import DataError, UsageError, VenueError
from abidance.model.event import BarSlice, Timer
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, FeedState, FeedStatus
from abidance.model.order import Fill
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig
from abidance.run.backtest import backtest
from abidance.run.bot import JOURNAL, Moment, bars_of
from abidance.run.config import RunConfig
from abidance.run.live import LivePaper, open_live
from abidance.testing.exchange import Fault, LocalExchange, Wrong, generated
from abidance.testing.simulation.world import STRATEGIES
from abidance.venues.dialect import Endpoint
from abidance.venues.net.budget import Budgets
from abidance.venues.net.config import AddressConfig, FeedConfig
from abidance.venues.net.line import World
from abidance.venues.net.real import AiohttpSocket, AiohttpTransport
from abidance.venues.net.transport import DisconnectedError
from tests.integration.live_bench import START, SharedPulse, breathe

BTC = "BTC/USDT@BINANCE"
MINUTE = 60 * SECOND_NS
PAST = 40


class Place:
    """A local Binance and what a bot needs to trade there, for as long as several bots live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pulse = SharedPulse()
        self.market = generated(BTC, 11, START, past_seconds=PAST * 60, pace=5.0)
        self.exchange = LocalExchange([self.market], start=START)
        self.moments: list[Moment] = []
        self.asked: list[tuple[int, int]] = []
        self.written: Path | None = None
        """Where strategies of one's own are written."""
        self.skews: dict[int, int] = {}
        """By how many ns the machine's clock is wrong from the second on that it names."""

    async def __aenter__(self) -> Self:
        await self.exchange.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.exchange.__aexit__()

    def config(self, **more: object) -> RunConfig:
        address = AddressConfig(rest_url=self.exchange.rest_url, stream_url=self.exchange.stream_url)
        given = {
            "instruments": (BTC,),
            "timeframe": "1m",
            "strategies": (
                StrategyConfig(strategy="EmaCross", name="cross", parameters={"fast": 2, "slow": 5}),
            ),
            "risk": RiskConfig(
                limits=LimitsConfig(duplicate_window=0),
                breakers=BreakersConfig(daily_loss=None, max_drawdown=None),
            ),
            "feed": FeedConfig(addresses={"BINANCE": address}, anomalies=False),
        }
        return RunConfig(**{**given, **more})

    async def history(self, id: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the exchange's own closed bars."""
        self.asked.append((start, end))
        bars = [b for b in self.market.bars(timeframe, start, end) if b.ts_close <= self.exchange.now]
        return bars_of((id, timeframe), bars)

    async def trade(self, seconds: float, **more: object) -> LivePaper:
        """Let a bot live for so long and return it, closed."""
        paper = await open_live(
            self.config(**more), self.history, self.written, self.folder, self.pulse.wall()
        )
        with paper:
            async with AiohttpTransport(heartbeat=0) as transport:
                world = World(transport, self.pulse, Budgets(self.pulse), lambda: 0.5, logger("test"))
                running = asyncio.ensure_future(
                    paper.run(world, lambda: False, self.moments.append, self.history)
                )
                await self.pass_time(seconds)
                if running.done():
                    running.result()
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running
        return paper

    async def pass_time(self, seconds: float) -> None:
        for second in range(round(seconds)):
            self.pulse.skew = self.skews.get(second, self.pulse.skew)
            await self.exchange.advance(1.0)
            await breathe(30)
            await self.pulse.advance(1.0)
            await breathe(10)


class Stored:
    """Bars as a backtest reads them."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    def read(self, id: str, timeframe: str, start: int | None = None, end: int | None = None) -> Bars:
        opens = self._bars.ts
        first = 0 if start is None else int(opens.searchsorted(start))
        return self._bars.slice(first, len(self._bars) if end is None else int(opens.searchsorted(end)))

    def funding(self, instrument: str, start: int | None = None, end: int | None = None) -> Funding | None:
        return None


def sides(fills: Sequence[Fill]) -> list[tuple[int, str]]:
    """Return in which minute each fill came, and its side."""
    return [((fill.ts - START) // MINUTE, fill.side.value) for fill in fills]


def opens_of(folder: Path) -> list[int]:
    """Return the opens of the recorded bars, in minutes since the start."""
    records = read(folder / JOURNAL).records
    return [
        (bar.ts - START) // MINUTE
        for record in records
        if isinstance(record.event, BarSlice)
        for bar in record.event.bars
    ]


def nothing_in(folder: Path) -> bool:
    return not any(folder.iterdir())


def statuses(folder: Path, kind: DataKind) -> list[FeedState]:
    events = [record.event for record in read(folder / JOURNAL).records]
    return [e.state for e in events if isinstance(e, FeedStatus) and e.kind is kind]


async def test_a_live_bot_decides_what_a_backtest_of_the_same_bars_decides(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        paper = await place.trade(30 * 60 + 5)
        bars = bars_of((BTC, "1m"), place.market.bars("1m", START - PAST * MINUTE, START + 30 * MINUTE))

    replayed = backtest(place.config(timerange=""), Stored(bars))
    # The live bot began flat: what the backtest held at START it leaves once more.
    expected = [each for each in sides(replayed.fills) if each[0] >= 1]
    expected = expected[1:] if expected[0][1] == "sell" else expected
    assert len(expected) >= 3
    assert list(dict.fromkeys(sides(paper.engine.fills))) == expected  # a thin quote fills in parts
    assert opens_of(tmp_path) == list(range(30))


async def test_a_bot_that_is_started_again_goes_on_where_it_was(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        first = await place.trade(8 * 60 + 10)
        fills = list(first.engine.fills)
        await place.pass_time(5 * 60)
        second = await place.trade(6 * 60)
        third = await place.trade(70)

    assert second.resumed > 0
    assert second.engine.fills[: len(fills)] == fills
    assert opens_of(tmp_path) == list(range(len(opens_of(tmp_path))))
    assert len(opens_of(tmp_path)) >= 19
    assert third.resumed > second.resumed
    assert statuses(tmp_path, DataKind.BARS)[-1] is FeedState.CERTIFIED


async def test_nothing_new_is_risked_while_the_quotes_are_silent(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        place.exchange.faults.add(Fault(Wrong.GAP, where="bookTicker", after=20, times=0))
        paper = await place.trade(15 * 60)

    codes = {refused.code for _, refused in paper._recorder.refusals}
    assert codes == {RefusalCode.FEED_NOT_CERTIFIED}
    assert paper.engine.fills == []


async def test_timers_fire_though_the_clock_was_set_back(tmp_path: Path) -> None:
    """The engine's time stands where the clock was, until that is there again."""
    restless = StrategyConfig(strategy="Restless", name="restless", timeframe="1m", instruments=(BTC,))
    async with Place(tmp_path) as place:
        place.skews = {10: 600 * SECOND_NS, 20: 0}
        place.written = STRATEGIES
        await place.trade(120, strategies=(restless,))
        records = read(place.folder / JOURNAL).records
    timers = [each.event.ts for each in records if isinstance(each.event, Timer)]

    # In 120 s, of which 100 after the clock was set back, with 2.6 s between two on average.
    assert len(timers) > 30
    assert all(later > sooner for sooner, later in itertools.pairwise(timers))


async def test_the_view_is_told_how_far_the_streams_are_trusted(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        await place.trade(20)

    assert place.moments[-1].feeds == "2 streams certified"


async def test_a_report_can_be_made_of_what_was_lived_so_far(tmp_path: Path) -> None:
    async with Place(tmp_path) as place:
        paper = await place.trade(5 * 60)

    result = paper.result()
    assert len(result.ts) >= 4
    assert result.bars[BTC].ts[0] == START


class Dead(AiohttpTransport):
    """A network that reaches nobody."""

    async def connect(self, endpoint: Endpoint) -> AiohttpSocket:
        raise DisconnectedError("No connection: Name or service not known.", "Check the network.")


async def test_why_nothing_is_certified_and_nothing_is_known_of_the_past_is_told(tmp_path: Path) -> None:
    async def history(*_: object) -> Bars:
        raise VenueError("BINANCE does not answer: Name or service not known.")

    place = Place(tmp_path)
    config = place.config(feed=FeedConfig(anomalies=False))
    paper = await open_live(config, history, None, tmp_path, place.pulse.wall())
    with paper:
        async with Dead(heartbeat=0) as transport:
            world = World(transport, place.pulse, Budgets(place.pulse), lambda: 0.5, logger("test"))
            running = asyncio.ensure_future(paper.run(world, lambda: False, place.moments.append))
            for _ in range(10):
                await place.pulse.advance(1.0)
                await breathe(30)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    told = place.moments[-1].feeds
    assert told.startswith("0 streams certified, 2 stale (No connection: Name or service not known)")
    assert f"There is no history of {BTC} 1m: BINANCE does not answer" in told
    assert any("BINANCE does not answer" in notice for notice in paper.material.notices)


async def test_a_long_cause_is_cut_between_words(tmp_path: Path) -> None:
    async def history(*_: object) -> Bars:
        raise VenueError("BINANCE does not answer: " + "unreachable " * 40)

    place = Place(tmp_path)
    paper = await open_live(place.config(feed=FeedConfig(anomalies=False)), history, None, tmp_path, START)
    with paper:
        async with Dead(heartbeat=0) as transport:
            world = World(transport, place.pulse, Budgets(place.pulse), lambda: 0.5, logger("test"))
            running = asyncio.ensure_future(paper.run(world, lambda: False, place.moments.append))
            await breathe(30)
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    told = place.moments[-1].feeds
    assert told.endswith(" unreachable …")
    assert len(told) < 250


async def test_a_pair_that_the_venue_does_not_have_ends_the_start(tmp_path: Path) -> None:
    async def history(*_: object) -> Bars:
        raise UsageError("BINANCE has no BTC/UDST.", "Did you mean BTC/USDT?")

    with pytest.raises(UsageError, match="Did you mean"):
        await open_live(Place(tmp_path).config(), history, None, tmp_path, START)

    assert nothing_in(tmp_path)


async def test_a_pair_of_which_nothing_is_known_names_the_network_and_begins_once_it_is_back(
    tmp_path: Path,
) -> None:
    unknown = "FOO/USDT@BINANCE"

    async def silence(*_: object) -> Bars:
        raise VenueError("BINANCE does not answer: Name or service not known.")

    async def history(id: str, timeframe: str, start: int, _end: int) -> Bars:
        return Bars(id, timeframe, np.array([start]), np.full((5, 1), 100.0))

    config = Place(tmp_path).config(instruments=(unknown,))
    with pytest.raises(VenueError, match=f"learnt of {unknown}: BINANCE does not answer"):
        await open_live(config, silence, None, tmp_path, START)
    left = nothing_in(tmp_path)

    with await open_live(config, history, None, tmp_path, START) as paper:
        begun = len(paper.material.past[unknown, "1m"])

    assert left
    assert begun == 1


async def test_what_is_wrong_with_a_request_is_not_blamed_on_the_network(tmp_path: Path) -> None:
    async def history(*_: object) -> Bars:
        raise DataError("BINANCE has no bars of 1m.", "Choose another length.")

    with pytest.raises(DataError, match="has no bars of 1m"):
        await open_live(
            Place(tmp_path).config(instruments=("FOO/USDT@BINANCE",)), history, None, tmp_path, START
        )
