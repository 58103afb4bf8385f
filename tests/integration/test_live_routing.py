"""Bots that enter on two venues, over real sockets: on paper over live data, and with real orders on both."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from abidance.execution.config import RoutingConfig
from abidance.journal.store import read
from abidance.market.bars import Bars
from abidance.market.reference import instrument
from abidance.model.command import Submit
from abidance.model.order import Purpose, Side
from abidance.model.outcome import Decided
from abidance.run.bot import JOURNAL, bars_of
from abidance.run.config import RunConfig
from abidance.run.trading import Access, LiveTrading
from abidance.testing.exchange import Account, Fault, LocalExchange, Wrong
from abidance.testing.exchange.crowd import Crowd, Walk, generated_past
from abidance.testing.exchange.market import Market as Tape
from abidance.venues.account import Credentials
from abidance.venues.net.config import AddressConfig, FeedConfig
from tests.integration.live_bench import START
from tests.integration.test_live_failover import OTHER
from tests.integration.test_live_paper import BTC, PAST
from tests.integration.test_live_trading import Market
from tests.unit.venues.trading_world import SCENES, SECRET

D = Decimal


SEED = "5"
"""Of a walk that the strategy acts on within minutes."""


def tape(id: str, price: float) -> Tape:
    found = instrument(id)
    crowd = Crowd(Walk(SEED, price), SEED, 5.0)
    return Tape(found, [crowd], generated_past(found, price, START, PAST * 60, 11), 11)


class TwoVenues(Market):
    """A local Binance and a local Bybit, a little cheaper, on which the same crowd trades; money lies on both."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.market, self.other = tape(BTC, 30_000.0), tape(OTHER, 29_950.0)
        self.account = Account("a-key", "a-secret")
        self.exchange = LocalExchange([self.market], start=START, accounts=[self.account])
        self.exchange.desk.transfer(self.account, "USDT", D(20_000), START)
        self.away = Account("another-key", SECRET)
        self.second = LocalExchange([self.other], start=START, accounts=[self.away])
        self.second.desk.transfer(self.away, "USDT", D(20_000), START)

    async def __aenter__(self) -> "TwoVenues":
        await self.second.__aenter__()
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        await self.second.__aexit__()

    def config(self, **more: object) -> RunConfig:
        binance = AddressConfig(rest_url=self.exchange.rest_url, stream_url=self.exchange.stream_url)
        url = f"{self.second.stream_url}/v5/public/spot"
        bybit = AddressConfig(rest_url=self.second.rest_url, stream_url=url)
        feed = FeedConfig(addresses={"BINANCE": binance, "BYBIT": bybit}, anomalies=False)
        return super().config(feed=feed, routing=RoutingConfig(routes={BTC: (OTHER,)}), **more)

    @property
    def access(self) -> dict[str, Access]:
        keys = Credentials(self.away.key, self.away.secret)
        there = Access(keys, self.second.rest_url, self.second.stream_url)
        return {**super().access, "BYBIT": there}

    async def history(self, id: str, timeframe: str, start: int, end: int) -> Bars:
        market = self.market if id == BTC else self.other
        closed = [b for b in market.bars(timeframe, start, end) if b.ts_close <= self.exchange.now]
        return bars_of((id, timeframe), closed)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            await self.second.advance(0.5)
            await super().pass_time(0.5)

    def both_agree(self, bot: LiveTrading) -> None:
        named: dict[str, Callable[[int], str]] = {"BINANCE": str, "BYBIT": SCENES["BYBIT"].execution}
        ours = {fill.id for fill in bot.engine.fills}
        theirs = set()
        for venue, exchange, account in (
            ("BINANCE", self.exchange, self.account),
            ("BYBIT", self.second, self.away),
        ):
            theirs |= {named[venue](p.id) for order in exchange.desk.orders.values() for p in order.parts}
            ledger, there = bot.engine.state.portfolio.ledger.balances(venue), account.totals()
            assert ledger.get("BTC", D(0)) == there.get("BTC", D(0))
            assert ledger["USDT"] - D(5_000) == there["USDT"] - D(20_000)
        assert ours == theirs


def entries(folder: Path) -> list[str]:
    """Return where entries were sent."""
    return [
        command.request.instrument
        for record in read(folder / JOURNAL).records
        if isinstance(record.event, Decided)
        for command in record.event.commands
        if isinstance(command, Submit) and command.request.purpose is Purpose.ENTRY
    ]


@pytest.fixture
async def place(tmp_path: Path) -> TwoVenues:
    return TwoVenues(tmp_path / "bot")


async def test_on_paper_entries_go_to_the_cheaper_venue_and_to_the_other_while_that_is_silent(
    place: TwoVenues,
) -> None:
    async with place:
        place.second.faults.add(Fault(Wrong.GAP, times=0))
        await place.trade(9 * 60)
        silent = entries(place.folder)
        place.second.faults.clear()
        paper = await place.trade(6 * 60)

    assert silent == [BTC]
    assert entries(place.folder) == [BTC, OTHER]
    fills = dict.fromkeys((fill.instrument, fill.side) for fill in paper.engine.fills)
    assert list(fills) == [(BTC, Side.BUY), (BTC, Side.SELL), (OTHER, Side.BUY)]


async def test_real_orders_go_to_the_cheaper_venue_and_both_books_agree(place: TwoVenues) -> None:
    async with place:
        bot = await place.live(60 * 7 + 20)
        place.both_agree(bot)

        assert set(entries(place.folder)) == {OTHER}
        assert bot.engine.fills


async def test_while_an_account_is_in_doubt_entries_go_to_the_other_venue(place: TwoVenues) -> None:
    async with place:
        place.second.faults.add(Fault(Wrong.ERROR, "/v5/execution/list", times=0))
        bot = await place.live(60 * 7 + 20)
        place.both_agree(bot)

        assert set(entries(place.folder)) == {BTC}
        assert bot.engine.fills


async def test_an_entry_whose_answer_was_lost_is_found_there_and_sent_nowhere_else(place: TwoVenues) -> None:
    async with place:
        place.second.faults.add(Fault(Wrong.LOST, "/v5/order/create", times=0))
        bot = await place.live(60 * 7 + 20)
        place.both_agree(bot)

        bought = [
            order.ticket.client_id
            for exchange in (place.exchange, place.second)
            for order in exchange.desk.orders.values()
            if order.ticket.side > 0
        ]
        assert len(bought) == len(set(bought)) == len(entries(place.folder)) > 0
        assert set(entries(place.folder)) == {OTHER}
