"""Another venue's data in the place of one that fell silent: who serves, what is told, and that nothing comes twice."""

import math
from decimal import Decimal

import numpy as np
import pytest

from abidance.market.bars import Bars
from abidance.market.live.gaps import Mended
from abidance.market.live.loans import Failover
from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import (
    Bar,
    BarSlice,
    BarUpdate,
    DataKind,
    FeedState,
    FeedStatus,
    MarketEvent,
    MarkPrice,
    Quote,
    Trade,
)
from abidance.risk.feeds import Feeds
from tests.unit.venues.net_world import BTC, EPOCH, ETH, Bench, FakeSocket, wanted

CERTIFIED, STALE, GAP = FeedState.CERTIFIED, FeedState.STALE, FeedState.GAP
QUOTES, TRADES, BARS, MARK = DataKind.QUOTES, DataKind.TRADES, DataKind.BARS, DataKind.MARK
MINUTE = 60 * SECOND_NS
OPEN = EPOCH // MINUTE * MINUTE
"""The open of the first bar; it closes 40 s after the test begins."""
ELSEWHERE = Instrument("BTC/USDT@OTHER", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(1))


class Pair(Bench):
    """BTC at its own venue and at another that stands in."""

    def __init__(self, *kinds: DataKind, failover: Failover = "entries", **more: object) -> None:
        bars: dict[str, object] = {"following": {(BTC.id, "1m"): OPEN}} if BARS in kinds else {}
        needs = wanted(
            *{QUOTES, *kinds} - {BARS},
            instruments=(BTC, ELSEWHERE),
            stand_in={BTC.id: (ELSEWHERE.id,)},
            failover=failover,
            anomalies=False,
            **bars,
        )
        super().__init__(needs, **more)  # type: ignore[arg-type]
        self.kept: list[MarketEvent | Mended] = []
        self.feed._tap = lambda event, _: self.kept.append(event)

    def socket(self, instrument: Instrument) -> FakeSocket:
        """Return the newest connection that carries an instrument."""
        return next(s for s in reversed(self.venue.sockets) if any(instrument.id in t for t in s.topics))

    async def both(self, seconds: float, apart: float = 0.0) -> None:
        """Let both venues quote, four times a second."""
        for _ in range(round(seconds * 4)):
            await self.advance(0.25)
            await self.say(self.quote(), socket=self.socket(BTC))
            await self.other(apart)

    async def other(self, apart: float = 0.0) -> None:
        quote = self.quote(ELSEWHERE.id, 100.0 + apart, 100.1 + apart)
        await self.say(quote, socket=self.socket(ELSEWHERE))

    async def only_other(self, seconds: float, apart: float = 0.05) -> None:
        """Let the other venue quote alone."""
        for _ in range(round(seconds * 4)):
            await self.advance(0.25)
            await self.other(apart)

    async def close_bar(self, number: int, price: float, instrument: Instrument = BTC) -> None:
        """Let a venue close a bar."""
        bar = Bar(instrument.id, "1m", OPEN + number * MINUTE, price, price, price, price, 1.0)
        await self.say(BarUpdate(bar, True), socket=self.socket(instrument))

    async def until_close(self, number: int, *, after: float = 0.1, own: bool = True) -> None:
        """Let time pass until a bar has closed."""
        until = (OPEN + (number + 1) * MINUTE - EPOCH) / 1e9 + after
        while self.pulse.now < until - 1e-9:
            await self.advance(min(0.25, until - self.pulse.now))
            await self.other()
            if own and self.socket(BTC).is_open:
                await self.say(self.quote(), socket=self.socket(BTC))

    @property
    def bars(self) -> list[tuple[str, int, float]]:
        return [
            (bar.instrument, (bar.ts - OPEN) // MINUTE, bar.close)
            for event in self.events
            if isinstance(event, BarSlice)
            for bar in event.bars
        ]

    def served(self, kind: DataKind) -> list[tuple[FeedState, str, bool]]:
        return [(each.state, each.served_by, each.suffices) for each in self.statuses(kind)]


async def test_quotes_of_another_venue_serve_while_the_own_are_silent_and_it_is_told() -> None:
    async with Pair() as pair:
        await pair.both(10)
        before = len(pair.quotes)
        await pair.only_other(12)
        lent = pair.quotes[before:]
        await pair.both(3)

    told = pair.served(QUOTES)
    assert told == [
        (STALE, "", False), (CERTIFIED, "", False), (STALE, ELSEWHERE.id, True), (CERTIFIED, "", False),
    ]  # fmt: skip
    assert "Served by BTC/USDT@OTHER." in pair.statuses(QUOTES)[2].reason
    assert lent
    assert {(quote.instrument, quote.bid) for quote in lent} == {(BTC.id, 100.05)}
    assert {quote.bid for quote in pair.quotes[-8:]} == {100.0}
    assert not pair.statuses(QUOTES, ELSEWHERE.id)


async def test_what_serves_is_told_before_it_comes() -> None:
    async with Pair() as pair:
        await pair.both(10)
        await pair.only_other(12)

    marks = [e for e in pair.events if isinstance(e, Quote | FeedStatus)]
    first_lent = next(at for at, e in enumerate(marks) if isinstance(e, Quote) and e.bid == 100.05)
    status = marks[first_lent - 1]
    assert isinstance(status, FeedStatus)
    assert status.served_by == ELSEWHERE.id


async def test_nothing_that_was_lent_is_kept_as_the_instruments_own() -> None:
    async with Pair(BARS, TRADES) as pair:
        await pair.both(10)
        pair.venue.is_up = False
        pair.socket(BTC).cut()
        await pair.advance(0.1)
        await pair.say(pair.trade("7", instrument=ELSEWHERE.id), socket=pair.socket(ELSEWHERE))
        await pair.other(0.05)
        await pair.until_close(0, own=False)
        await pair.close_bar(0, 123.0, ELSEWHERE)

    own = [e for e in pair.kept if getattr(e, "instrument", "") == BTC.id]
    assert pair.bars == [(BTC.id, 0, 123.0)]
    assert not [e for e in own if isinstance(e, Trade)]
    assert all(e.bid == 100.0 for e in own if isinstance(e, Quote))
    assert not [e for e in pair.kept if isinstance(e, BarSlice)]
    assert all(not e.served_by for e in own if isinstance(e, FeedStatus))


@pytest.mark.parametrize(("failover", "suffices"), [("exits", False), ("entries", True)])
async def test_new_risk_is_a_matter_of_what_the_user_set(failover: Failover, suffices: bool) -> None:
    async with Pair(failover=failover) as pair:
        await pair.both(10)
        await pair.only_other(12)
    feeds = Feeds()
    for status in pair.statuses(QUOTES):
        feeds.take(status)

    assert pair.served(QUOTES)[-1] == (STALE, ELSEWHERE.id, suffices)
    assert (feeds.doubt("any", BTC.id) is None) is suffices


async def test_with_prices_alone_no_bar_is_lent() -> None:
    async with Pair(BARS, failover="prices") as pair:
        await pair.both(10)
        pair.socket(BTC).cut()
        await pair.until_close(0, own=False)
        topics = pair.socket(ELSEWHERE).topics

    assert topics == [f"quotes:{ELSEWHERE.id}:"]
    assert pair.served(QUOTES)[-1][1:] == ("", False)


async def test_a_venue_whose_prices_did_not_agree_never_serves() -> None:
    async with Pair() as pair:
        await pair.both(10, apart=1.5)
        await pair.only_other(12, apart=1.5)

    assert pair.served(QUOTES)[-1] == (STALE, "", False)
    assert {quote.bid for quote in pair.quotes} == {100.0}


async def test_a_venue_that_was_never_compared_does_not_serve() -> None:
    async with Pair() as pair:
        await pair.only_other(12)

    assert pair.served(QUOTES) == [(STALE, "", False)]
    assert pair.quotes == []


async def test_when_the_stand_in_falls_silent_too_nobody_serves() -> None:
    async with Pair() as pair:
        await pair.both(10)
        await pair.only_other(12)
        await pair.advance(12)

    assert pair.served(QUOTES)[-2:] == [(STALE, ELSEWHERE.id, True), (STALE, "", False)]


async def test_bars_go_on_from_the_other_venue_and_come_back_each_once() -> None:
    async with Pair(BARS) as pair:
        await pair.both(1)
        await pair.until_close(0)
        await pair.close_bar(0, 100.0)
        await pair.close_bar(0, 200.0, ELSEWHERE)
        pair.venue.is_up = False
        pair.socket(BTC).cut()
        await pair.until_close(1, own=False)
        await pair.close_bar(1, 201.0, ELSEWHERE)
        pair.venue.is_up = True
        await pair.until_close(2, after=-20, own=False)
        await pair.close_bar(1, 101.0)  # its own comes late: the strategy has decided already
        await pair.until_close(2)
        await pair.close_bar(2, 102.0)
        await pair.close_bar(2, 202.0, ELSEWHERE)
        await pair.until_close(2, after=9)

    assert pair.bars == [(BTC.id, 0, 100.0), (BTC.id, 1, 201.0), (BTC.id, 2, 102.0)]
    assert pair.served(BARS)[-1] == (CERTIFIED, "", False)
    assert (STALE, ELSEWHERE.id, True) in pair.served(BARS)


async def test_the_certificate_is_back_before_the_first_own_bar() -> None:
    async with Pair(BARS) as pair:
        await pair.both(10)
        await pair.until_close(0, after=6)
        await pair.close_bar(0, 200.0, ELSEWHERE)
        during = pair.served(BARS)[-1]
        await pair.until_close(1)
        await pair.close_bar(1, 101.0)

    assert during == (GAP, ELSEWHERE.id, True)
    last = [e for e in pair.events if isinstance(e, BarSlice) or getattr(e, "kind", None) is BARS][-2:]
    assert isinstance(last[0], FeedStatus)
    assert last[0].state is CERTIFIED
    assert isinstance(last[1], BarSlice)
    assert pair.bars == [(BTC.id, 0, 200.0), (BTC.id, 1, 101.0)]


async def test_a_bar_that_history_still_has_is_not_lent() -> None:
    async def history(id: str, timeframe: str, start: int, end: int) -> Bars:
        return Bars(id, timeframe, np.array([start]), np.full((5, 1), 100.0))

    async with Pair(BARS, history=history) as pair:
        await pair.both(10)
        await pair.until_close(0)
        await pair.close_bar(0, 200.0, ELSEWHERE)
        await pair.until_close(0, after=8)

    assert pair.bars == [(BTC.id, 0, 100.0)]
    assert pair.served(BARS)[-1] == (CERTIFIED, "", False)
    assert all(not served for _, served, _ in pair.served(BARS))


async def test_trades_are_lent_with_their_origin_and_never_beside_the_own_ones() -> None:
    async with Pair(TRADES) as pair:
        await pair.both(10)
        await pair.say(pair.trade("1"), socket=pair.socket(BTC))
        await pair.say(pair.trade("1", instrument=ELSEWHERE.id), socket=pair.socket(ELSEWHERE))
        pair.venue.is_up = False
        pair.socket(BTC).cut()
        await pair.advance(0.5)
        await pair.say(pair.trade("2", instrument=ELSEWHERE.id), socket=pair.socket(ELSEWHERE))

    assert pair.trades == ["1", "BTC/USDT@OTHER 2"]
    assert pair.served(TRADES)[-1] == (STALE, ELSEWHERE.id, True)


async def test_a_lent_mark_price_says_nothing_of_funding() -> None:
    async with Pair(MARK) as pair:
        await pair.both(1)
        for instrument in (BTC, ELSEWHERE):
            mark = MarkPrice(pair.pulse.wall(), instrument.id, 100.0, 100.0, 0.01, EPOCH)
            await pair.say(mark, socket=pair.socket(instrument))
        pair.venue.is_up = False
        pair.socket(BTC).cut()
        await pair.advance(0.5)
        mark = MarkPrice(pair.pulse.wall(), ELSEWHERE.id, 101.0, 101.0, 0.01, EPOCH)
        await pair.say(mark, socket=pair.socket(ELSEWHERE))

    own, lent = (event for event in pair.events if isinstance(event, MarkPrice))
    assert (own.mark, own.rate) == (100.0, 0.01)
    assert (lent.instrument, lent.mark, lent.ts_funding) == (BTC.id, 101.0, 0)
    assert math.isnan(lent.rate)


def test_another_market_cannot_go_on_with_the_bars() -> None:
    needs = wanted(QUOTES, instruments=(BTC, ETH), stand_in={BTC.id: (ETH.id,)}, failover="exits")

    with pytest.raises(UsageError, match="another market"):
        _ = needs.lenders
