"""The real ccxt behind our socket, reading a local exchange: what it tells must be what was played."""

import asyncio

import pytest

from abidance.market.book import OrderBook, Taken
from abidance.model.market import BarUpdate, BookDelta, BookSnapshot, DataKind, Quote, Trade
from abidance.testing.exchange import LocalExchange
from abidance.venues.ccxt.dialect import CcxtDialect
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.ccxt.socket import CcxtSocket
from abidance.venues.dialect import Answered, Channel, Decoded
from tests.unit.testing.exchange_stage import START, market

_OPTIONS = {"fetchMarkets": {"types": ["spot", "linear"]}}


def sides(ladder: BookSnapshot) -> tuple[object, object]:
    return ladder.bids, ladder.asks


@pytest.mark.parametrize(
    "id", ["BTC/USDT@BYBIT", "BTC/USDT:USDT@BYBIT", "BTC/USDT@KRAKEN", "BTC/USDT@BINANCE"]
)
async def test_trades_bars_and_books_that_come_through_ccxt_are_those_of_the_market(id: str) -> None:
    truth = market(id)
    dialect = CcxtDialect(truth.instrument.venue)
    decoder, book = dialect.decoder([truth.instrument]), OrderBook(truth.instrument, dialect.books, 10)
    channels = [
        Channel(id, DataKind.TRADES),
        Channel(id, DataKind.BOOK, depth=10),
        Channel(id, DataKind.QUOTES),
        Channel(id, DataKind.BARS, "1m"),
    ]
    found: list[Decoded] = []
    taken: set[Taken] = set()
    async with LocalExchange([truth], start=START) as exchange:
        client = exchange_class(truth.instrument.venue.lower(), streaming=True)(
            {"newUpdates": True, "enableRateLimit": False, "timeout_on_exit": 0, "options": _OPTIONS}
        )
        client.urls["api"] = exchange.redirect(client.urls["api"])
        await client.load_markets()
        socket = CcxtSocket(client)
        for frame in dialect.subscribe(channels, 1):
            await socket.send(frame)

        async def listen() -> None:
            while True:
                for value in decoder.decode(await socket.receive()):
                    found.append(value)
                    if isinstance(value, BookDelta):
                        taken.add(book.apply(value))

        listening = asyncio.ensure_future(listen())
        try:
            async with asyncio.timeout(20):
                while not {BookDelta, Quote, Trade, BarUpdate} <= {type(each) for each in found}:
                    await exchange.advance(0.5)
                    await asyncio.sleep(0.01)
                while sides(book.top(10)) != sides(truth.ladder(10)):  # noqa: ASYNC110 (nothing tells when)
                    await asyncio.sleep(0.01)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            await socket.close()

    played = {(each.price, each.size, each.buyer_is_taker) for each in truth.trades()}
    trades = [each for each in found if isinstance(each, Trade)]
    assert [each.request for each in found if isinstance(each, Answered)] == [1, 2, 3, 4]
    assert taken == {Taken.APPLIED}
    assert {(each.price, each.size, each.buyer_is_taker) for each in trades} <= played
    assert all(each.instrument == id for each in trades)
