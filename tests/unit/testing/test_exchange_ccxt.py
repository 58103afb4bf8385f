"""ccxt, which nobody here wrote, reads from the local exchange the markets that were played on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from abidance.model.instrument import MS_NS, timeframe_ns
from abidance.model.market import Bar, Trade
from abidance.testing.exchange import LocalExchange, Market
from abidance.venues.ccxt.loading import exchange_class
from tests.unit.testing.exchange_stage import SPOKEN, START, market

MINUTE = timeframe_ns("1m")
BARS_IN_A_CALL = {"binance": 500, "bybit": 200, "kraken": 720, "kucoin": 1500, "mexc": 500}
PERPETUALS = [id for id in SPOKEN if ":" in id]
_PLAIN = {"fetchMarkets": {"types": ["spot", "linear"]}}
_OPTIONS = {"binance": _PLAIN, "bybit": _PLAIN, "kucoin": {"fetchMarkets": {"types": ["spot"]}}}


@asynccontextmanager
async def stranger(
    id: str, past_seconds: int = 86_400
) -> AsyncIterator[tuple[LocalExchange, Market, Any, str]]:
    """Open an exchange of one market and a client of ccxt that is pointed at it."""
    truth = market(id, past_seconds=past_seconds)
    venue = truth.instrument.venue.lower()
    async with LocalExchange([truth], start=START) as exchange:
        client = exchange_class(venue, streaming=True)(
            {"enableRateLimit": False, "timeout_on_exit": 0, "options": _OPTIONS.get(venue, {})}
        )
        client.urls["api"] = exchange.redirect(client.urls["api"])
        try:
            await client.load_markets()
            yield exchange, truth, client, id.partition("@")[0]
        finally:
            await client.close()


def told(trades: list[dict[str, Any]]) -> list[tuple[int, float, float, str]]:
    return [(each["timestamp"], each["price"], each["amount"], each["side"]) for each in trades]


def printed(trades: list[Trade]) -> list[tuple[int, float, float, str]]:
    return [
        (each.ts // MS_NS, each.price, each.size, "buy" if each.buyer_is_taker else "sell") for each in trades
    ]


def assert_same_trades(found: list[dict[str, Any]], truth: list[Trade], venue: str) -> None:
    """Compare trades; MEXC's have no number to order those of one ms by, and ccxt rounds KuCoin's times by 1 ms."""
    ours, theirs = printed(truth), told(found)
    assert len(theirs) == len(ours) > 0
    assert sorted(row[1:] for row in theirs) == sorted(row[1:] for row in ours)
    if venue == "kucoin":
        assert all(abs(one[0] - other[0]) <= 1 for one, other in zip(theirs, ours, strict=True))
    else:
        assert sorted(theirs) == sorted(ours)


def row(bar: Bar) -> list[float]:
    return [bar.ts // MS_NS, bar.open, bar.high, bar.low, bar.close, bar.volume]


@pytest.mark.parametrize("id", SPOKEN)
async def test_ccxt_reads_markets_trades_books_bars_and_tickers_by_rest(id: str):
    async with stranger(id) as (exchange, truth, client, symbol):
        await exchange.advance(5)

        listed = client.markets[symbol]
        assert list(client.markets) == [symbol]
        assert listed["precision"]["price"] == float(truth.instrument.tick)
        assert listed["precision"]["amount"] == float(truth.instrument.lot)

        trades = await client.fetch_trades(symbol, limit=50)
        assert_same_trades(trades, truth.trades()[-len(trades) :], client.id)

        book, ladder = await client.fetch_order_book(symbol, 20), truth.ladder(20)
        assert [tuple(level[:2]) for level in book["bids"]] == list(ladder.bids)
        assert [tuple(level[:2]) for level in book["asks"]] == list(ladder.asks)

        ticker, quote = await client.fetch_ticker(symbol), truth.quote()
        assert quote is not None
        assert (ticker["bid"], ticker["ask"]) == (quote.bid, quote.ask)
        assert ticker["last"] == truth.trades()[-1].price
        if client.id != "kraken":
            assert await client.fetch_time() == exchange.now // MS_NS


@pytest.mark.parametrize("id", SPOKEN)
async def test_ccxt_gets_as_many_bars_in_a_call_as_the_venue_gives_and_they_are_the_trades(id: str):
    async with stranger(id, past_seconds=100_000) as (_, truth, client, symbol):
        bars = [row(bar) for bar in truth.bars("1m")]

        newest = await client.fetch_ohlcv(symbol, "1m")
        since = await client.fetch_ohlcv(symbol, "1m", (START - 600 * MINUTE) // MS_NS, limit=7)

        assert newest == bars[-BARS_IN_A_CALL[client.id] :]
        first = next(at for at, bar in enumerate(bars) if bar[0] >= (START - 600 * MINUTE) // MS_NS)
        assert since == bars[first : first + 7]


async def test_older_bars_of_kraken_cannot_be_had_but_its_trades_can_be_paged():
    async with stranger("BTC/USDT@KRAKEN", past_seconds=100_000) as (exchange, truth, client, symbol):
        old = START - 1_500 * MINUTE

        bars = await client.fetch_ohlcv(symbol, "1m", old // MS_NS)
        # ccxt keeps the last trade's time in ms and would go on from there: paging is by Kraken's own `last`.
        pages: list[list[list[Any]]] = []
        since = old - 1
        while len(pages) < 100:
            answer = await client.publicGetTrades({"pair": "XBTUSDT", "since": str(since)})
            rows = answer["result"]["XBTUSDT"]
            if not rows:
                break
            pages.append(rows)
            since = int(answer["result"]["last"])

        assert bars[0][0] >= (exchange.now - 720 * MINUTE) // MS_NS
        ids = [int(each[6]) for rows in pages for each in rows]
        assert ids == [int(each.id) for each in truth.trades(old)]
        assert len(pages) > 30


async def test_trades_of_binance_are_paged_by_number():
    async with stranger("BTC/USDT@BINANCE", past_seconds=20_000) as (_, truth, client, symbol):
        found: list[dict[str, Any]] = []
        for _ in range(40):
            start = int(found[-1]["id"]) + 1 if found else 1
            page = await client.fetch_trades(symbol, limit=1000, params={"fromId": start})
            found += page
            if len(page) < 1000:
                break

        assert_same_trades(found, truth.trades(), "binance")


@pytest.mark.parametrize("id", PERPETUALS)
async def test_ccxt_reads_what_funding_was_and_will_be(id: str):
    async with stranger(id, past_seconds=3 * 86_400) as (_, truth, client, symbol):
        history = await client.fetch_funding_rate_history(symbol)
        coming = await client.fetch_funding_rate(symbol)

        rates = [(each["timestamp"] * MS_NS, each["fundingRate"]) for each in history]
        assert rates == [(each.ts, each.rate) for each in truth.funding()]
        assert coming["fundingRate"] == truth.mark().rate
        assert coming["fundingTimestamp"] * MS_NS == truth.mark().ts_funding


class Watcher:
    """What ccxt.pro hands out for one symbol: all trades and bars, and the newest book."""

    def __init__(self, client: Any, symbol: str) -> None:
        self.trades: list[dict[str, Any]] = []
        self.bars: list[list[float]] = []
        self.book: dict[str, Any] = {"bids": [], "asks": []}
        self._client = client
        self._symbol = symbol
        self.tasks = [asyncio.create_task(each()) for each in (self._trades, self._bars, self._book)]

    async def _trades(self) -> None:
        while True:
            self.trades += await self._client.watch_trades(self._symbol)

    async def _bars(self) -> None:
        while True:
            self.bars += await self._client.watch_ohlcv(self._symbol, "1m")

    async def _book(self) -> None:
        while True:
            self.book = await self._client.watch_order_book(self._symbol)

    def is_even_with(self, truth: Market) -> bool:
        """Say whether the newest trade and the whole top of the book have been told."""
        last, ladder = truth.trades()[-1], truth.ladder(10)
        sides = (("bids", ladder.bids), ("asks", ladder.asks))
        same = all([tuple(level[:2]) for level in self.book[name][:10]] == list(side) for name, side in sides)
        newest = self.trades[-1] if self.trades else {"timestamp": 0, "price": 0.0}
        is_told = abs(newest["timestamp"] - last.ts // MS_NS) <= 1 and newest["price"] == last.price
        return same and is_told and bool(self.bars)

    async def stop(self) -> None:
        ended = [task for task in self.tasks if task.done()]
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert not ended


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 (ccxt has no event for it)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("id", SPOKEN)
async def test_ccxt_pro_streams_the_very_trades_book_and_bars(id: str):
    async with stranger(id, past_seconds=7200) as (exchange, truth, client, symbol):
        watcher = Watcher(client, symbol)
        await until(lambda: len(exchange.topics()) == 3)
        begin = exchange.now + 1
        for _ in range(60):
            await exchange.advance(1)
            await asyncio.sleep(0.005)
        await until(lambda: watcher.is_even_with(truth))
        await watcher.stop()

        live = truth.trades(begin)
        # Kraken tells the last fifty trades first to whoever begins to listen.
        assert_same_trades(watcher.trades[-len(live) :], live, client.id)
        made = {bar.ts // MS_NS: row(bar) for bar in truth.bars("1m")}
        ended = {int(bar[0]): bar for bar in watcher.bars if bar[0] * MS_NS + MINUTE <= exchange.now}
        assert ended
        assert all(made[at] == bar for at, bar in ended.items())


@pytest.mark.parametrize("id", SPOKEN)
async def test_ccxt_pro_streams_the_best_bid_and_ask(id: str):
    async with stranger(id, past_seconds=7200) as (exchange, truth, client, symbol):

        async def watch() -> None:
            while True:
                if client.id == "mexc":  # whose bids and asks ccxt reads as a ticker only
                    await client.watch_ticker(symbol)
                else:
                    await client.watch_bids_asks([symbol])

        watching = asyncio.create_task(watch())
        await until(lambda: bool(exchange.topics()))
        for _ in range(20):
            await exchange.advance(0.5)
            await asyncio.sleep(0.005)
        quote = truth.quote()
        assert quote is not None
        newest = client.tickers if client.id in {"kraken", "mexc"} else client.bidsasks
        await until(lambda: (newest[symbol]["bid"], newest[symbol]["ask"]) == (quote.bid, quote.ask))

        assert not watching.done()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_ccxt_pro_streams_the_mark_price_of_binance():
    async with stranger("BTC/USDT:USDT@BINANCE", past_seconds=7200) as (exchange, truth, client, symbol):
        watching = asyncio.create_task(client.watch_mark_price(symbol))
        await until(lambda: bool(exchange.topics()))
        await exchange.advance(0.999)
        mark = truth.mark()
        await exchange.advance(0.001)
        found = await watching

        assert found["markPrice"] == truth.ticks.value(mark.price)
