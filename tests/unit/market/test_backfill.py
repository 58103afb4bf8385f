"""Backfill over a source that is told what to say, page by page."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from abidance.market.backfill import Backfill, BarPage, FundingPage, TradePage, TradeRow
from abidance.market.bars import Bars
from abidance.market.funding import Funding
from abidance.market.store import BarStore, FundingStore, Place, Tables, open_tables
from abidance.model.errors import DataError, VenueError
from abidance.model.instrument import SECOND_NS

BTC = "BTC/USDT@BINANCE"
PERPETUAL = "BTC/USDT:USDT@BINANCE"
MINUTE = 60 * SECOND_NS
HOUR = 60 * MINUTE
T = 1_717_200_000 * SECOND_NS
NOW = T + 30 * MINUTE + 30 * SECOND_NS


class Told:
    """A source that says what it was given, and remembers what it was asked."""

    def __init__(self, *, newest_bars: int = 0, now: int = NOW) -> None:
        self.newest_bars = newest_bars
        self.tells_trades = True
        self.minutes: list[int] = []
        self.tape: list[TradeRow] = []
        self.rates: list[int] = []
        self.asked: list[tuple[str, int, int]] = []
        self.at = now
        self.fails_after = 0

    async def now(self) -> int:
        return self.at

    async def bars(self, instrument: str, timeframe: str, start: int, end: int) -> AsyncIterator[BarPage]:
        self.asked.append(("bars", (start - T) // MINUTE, (end - T) // MINUTE))
        for number, since in enumerate(range(start, end, 5 * MINUTE), 1):
            until = min(end, since + 5 * MINUTE)
            ts = np.array(
                [T + m * MINUTE for m in self.minutes if since <= T + m * MINUTE < until], dtype=np.int64
            )
            price = 100.0 + (ts - T) / MINUTE
            yield BarPage(Bars(instrument, timeframe, ts, (price,) * 5), until)
            if number == self.fails_after:
                raise VenueError("The venue is gone.", "Wait.")

    async def trades(self, instrument: str, start: int, end: int) -> AsyncIterator[TradePage]:
        self.asked.append(("trades", (start - T) // MINUTE, (end - T) // MINUTE))
        yield TradePage([row for row in self.tape if start <= row[0] < end], end)

    async def funding(self, instrument: str, start: int, end: int) -> AsyncIterator[FundingPage]:
        ts = np.array([T + h * HOUR for h in self.rates if start <= T + h * HOUR < end], dtype=np.int64)
        yield FundingPage(Funding(instrument, ts, np.full(len(ts), 0.0001)), end)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


def stored(tables: Tables) -> list[int]:
    return [(ts - T) // MINUTE for ts in BarStore(tables).read(BTC, "1m").ts.tolist()]


async def test_holes_that_the_venue_has_are_not_asked_for_again(tables: Tables) -> None:
    source = Told()
    source.minutes = [*range(10), *range(15, 30)]

    await Backfill(source, tables).bars(BTC, "1m", T, NOW)
    source.asked.clear()
    added = await Backfill(source, tables).bars(BTC, "1m", T, NOW)

    assert (added, source.asked) == (0, [])
    (hole,) = tables.spans(Place(BTC, "bars", "1m")).holes
    assert ((hole.start - T) // MINUTE, (hole.end - T) // MINUTE) == (10, 15)


async def test_a_bar_that_the_venue_tells_late_is_asked_for_again(tables: Tables) -> None:
    source = Told()
    source.minutes = list(range(28))
    await Backfill(source, tables).bars(BTC, "1m", T, NOW)
    source.minutes = list(range(30))

    added = await Backfill(source, tables).bars(BTC, "1m", T, NOW)

    assert added == 2
    assert stored(tables) == list(range(30))
    assert tables.spans(Place(BTC, "bars", "1m")).holes == ()


async def test_the_bar_that_is_open_and_the_one_that_may_still_change_are_not_stored(tables: Tables) -> None:
    source = Told(now=T + 20 * MINUTE + SECOND_NS)
    source.minutes = list(range(30))

    await Backfill(source, tables).bars(BTC, "1m", T, T + 30 * MINUTE)

    assert stored(tables) == list(range(19))


async def test_only_what_lies_around_stored_bars_is_asked_for(tables: Tables) -> None:
    source = Told()
    source.minutes = list(range(30))
    await Backfill(source, tables).bars(BTC, "1m", T + 10 * MINUTE, T + 15 * MINUTE)
    source.asked.clear()

    added = await Backfill(source, tables).bars(BTC, "1m", T, T + 20 * MINUTE)

    assert added == 15
    assert source.asked == [("bars", 0, 10), ("bars", 15, 20)]


async def test_what_came_before_a_failure_is_kept_and_not_asked_for_again(tables: Tables) -> None:
    source = Told()
    source.minutes, source.fails_after = list(range(30)), 2
    with pytest.raises(VenueError):
        await Backfill(source, tables).bars(BTC, "1m", T, NOW)
    source.asked.clear()
    source.fails_after = 0

    await Backfill(source, tables).bars(BTC, "1m", T, NOW)

    assert source.asked == [("bars", 10, 30)]
    assert stored(tables) == list(range(30))


async def test_stored_bars_are_left_alone_until_they_are_to_be_replaced(tables: Tables) -> None:
    source = Told()
    source.minutes = list(range(5))
    price = np.array([77.0])
    BarStore(tables).write(Bars(BTC, "1m", np.array([T + 2 * MINUTE]), (price,) * 5))

    await Backfill(source, tables).bars(BTC, "1m", T, T + 5 * MINUTE)
    left = BarStore(tables).read(BTC, "1m").close.tolist()
    await Backfill(source, tables, replace=True).bars(BTC, "1m", T, T + 5 * MINUTE)

    assert left == [100.0, 101.0, 77.0, 103.0, 104.0]
    assert BarStore(tables).read(BTC, "1m").close.tolist() == [100.0, 101.0, 102.0, 103.0, 104.0]


async def test_an_impossible_bar_is_refused_with_its_page(tables: Tables) -> None:
    class Mad(Told):
        async def bars(self, instrument: str, timeframe: str, start: int, end: int) -> AsyncIterator[BarPage]:
            good = np.array([T])
            yield BarPage(Bars(instrument, timeframe, good, (np.ones(1),) * 5), T + MINUTE)
            yield BarPage(Bars(instrument, timeframe, good + MINUTE, (np.full(1, np.nan),) * 5), end)

    with pytest.raises(DataError, match="impossible bar"):
        await Backfill(Mad(), tables).bars(BTC, "1m", T, NOW)

    assert stored(tables) == [0]
    assert tables.spans(Place(BTC, "bars", "1m")).whole == ((T, T + MINUTE),)


async def test_what_is_too_old_to_be_told_is_built_from_trades(tables: Tables) -> None:
    source = Told(newest_bars=11)
    source.minutes = list(range(20, 30))
    source.tape = [
        (T + m * MINUTE + s * SECOND_NS, 100.0 + m + s / 100, 1.0, True, f"{m}.{s}")
        for m in range(30)
        for s in (1, 30)
    ]

    added = await Backfill(source, tables).bars(BTC, "1m", T, NOW)

    assert added == 30
    assert source.asked == [("trades", 0, 20), ("bars", 20, 30)]
    bars = BarStore(tables).read(BTC, "1m")
    assert bars.close[3] == 103.3
    assert bars.volume[3] == 2.0


async def test_a_rate_that_is_told_late_is_asked_for_again(tables: Tables) -> None:
    source = Told(now=T + 16 * HOUR + MINUTE)
    source.rates = [0, 8]
    await Backfill(source, tables).funding(PERPETUAL, T, T + 24 * HOUR)
    source.rates = [0, 8, 16]

    added = await Backfill(source, tables).funding(PERPETUAL, T, T + 24 * HOUR)

    assert added == 1
    assert len(FundingStore(tables).read(PERPETUAL)) == 3
