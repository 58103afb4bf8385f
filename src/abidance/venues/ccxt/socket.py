"""A connection to a venue through ccxt: it looks like any other socket, and ccxt's own ones are behind it.

Each channel is a task that waits for ccxt's next answer and puts it into a frame. When one fails for a reason of the
network, the connection has ended, and whoever holds it opens another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from abidance.model.errors import UsageError
from abidance.model.instrument import parse_instrument_id
from abidance.model.market import DataKind
from abidance.venues.ccxt.decode import Reply
from abidance.venues.ccxt.dialect import SCHEME, Asked, spelt, topic_of
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.dialect import Channel, Endpoint, Frame
from abidance.venues.net.transport import NONE, Answer, DisconnectedError, Socket, Transport

ROOM = 10_000
"""So many frames may wait to be read; beyond that ccxt is not listened to."""
_NEEDS = {
    DataKind.TRADES: ("watchTrades",),
    DataKind.QUOTES: ("watchOrderBook",),
    DataKind.BOOK: ("watchOrderBook",),
    DataKind.BARS: ("watchOHLCV",),
    DataKind.MARK: ("watchFundingRate", "watchMarkPrice"),
}
_NETWORK = "Check the network; it is tried again."

Exchange = Any
Make = Callable[[str], Awaitable[Exchange]]
"""`await make("okx")`: ccxt's exchange with its markets loaded."""


async def exchange_of(venue: str) -> Exchange:
    """Return a new exchange of ccxt.pro, its markets loaded; imports it aside, so that nothing else waits."""
    made = await asyncio.to_thread(exchange_class, venue, streaming=True)
    exchange = made({"newUpdates": True, "enableRateLimit": True})
    try:
        await exchange.load_markets()
    except BaseException:
        await exchange.close()
        raise
    return exchange


class CcxtTransport:
    """A transport that opens `ccxt://` addresses through ccxt and leaves all others to `inner`."""

    def __init__(self, inner: Transport, make: Make = exchange_of) -> None:
        self._inner = inner
        self._make = make

    async def connect(self, endpoint: Endpoint) -> Socket:
        """Open a WebSocket, or what passes for one. Raises DisconnectedError."""
        if not endpoint.url.startswith(SCHEME):
            return await self._inner.connect(endpoint)
        venue = endpoint.url.removeprefix(SCHEME)
        try:
            return CcxtSocket(await self._make(venue))
        except UsageError:
            raise
        except Exception as error:
            raise DisconnectedError(f"ccxt reaches no {venue}: {_told(error)}.", _NETWORK) from error

    async def request(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] = NONE,
        body: bytes | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> Answer:
        """Make a request. Raises DisconnectedError when there is no answer."""
        return await self._inner.request(method, url, query, headers, body, leaving)


class CcxtSocket:
    """One exchange of ccxt.pro as a socket; `close` ends it and its connections."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._frames: asyncio.Queue[bytes | DisconnectedError] = asyncio.Queue(ROOM)
        self._tasks: dict[Channel, asyncio.Task[None]] = {}
        self._is_closed = False

    async def send(self, frame: Frame) -> None:
        """Take a request that `CcxtDialect` wrote."""
        asked = msgspec.json.decode(frame, type=Asked)
        if self._is_closed:
            raise DisconnectedError("The connection was closed.", _NETWORK)
        error = ""
        for channel in asked.channels:
            if asked.begin:
                error = error or self._begin(channel)
            else:
                await self._end(channel)
        await self._frames.put(msgspec.json.encode(Reply(asked.request, error)))

    async def receive(self) -> Frame:
        """Return the next frame. Raises DisconnectedError once ccxt has lost the venue."""
        if self._is_closed:
            raise DisconnectedError("The connection was closed.", _NETWORK)
        frame = await self._frames.get()
        if isinstance(frame, DisconnectedError):
            await self.close()
            raise frame
        return frame

    async def close(self) -> None:
        """End every stream and ccxt's own connections."""
        if self._is_closed:
            return
        self._is_closed = True
        for channel in list(self._tasks):
            await self._end(channel)
        await asyncio.gather(self._exchange.close(), return_exceptions=True)

    def _begin(self, channel: Channel) -> str:
        """Start to follow a channel; return why it cannot be, or nothing."""
        market = self._exchange.markets.get(_symbol(channel))
        if market is None:
            return f"{self._exchange.id} has no market {_symbol(channel)}."
        if market.get("inverse"):
            return f"{_symbol(channel)} is a contract in another coin than its price."
        watch = _watched(self._exchange.has, channel.kind)
        if watch is None:
            return f"{self._exchange.id} streams no {channel.kind.value}."
        if channel not in self._tasks:
            follow = self._follow(channel, watch, float(market.get("contractSize") or 1.0))
            self._tasks[channel] = asyncio.ensure_future(follow)
        return ""

    async def _end(self, channel: Channel) -> None:
        task = self._tasks.pop(channel, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, channel: Channel, watch: str, unit: float) -> None:
        """Put what ccxt tells of a channel into frames, until it fails."""
        say = _SAY[channel.kind]
        try:
            while True:
                told = await self._ask(channel, watch)
                await self._frames.put(msgspec.json.encode(say(channel, told, unit)))
        except Exception as error:  # noqa: BLE001 - whatever ccxt raises ends this stream, and is told
            reason = f"ccxt lost {_symbol(channel)}: {_told(error)}."
            if _is_refusal(error):
                await self._frames.put(msgspec.json.encode(Reply(-1, reason, (topic_of(channel),))))
            else:
                await self._frames.put(DisconnectedError(reason, _NETWORK))

    def _ask(self, channel: Channel, watch: str) -> Awaitable[Any]:
        symbol, exchange = _symbol(channel), self._exchange
        match watch:
            case "watchTrades":
                return _any(exchange.watch_trades(symbol))
            case "watchOHLCV":
                return _any(exchange.watch_ohlcv(symbol, channel.timeframe))
            case "watchFundingRate":
                return _any(exchange.watch_funding_rate(symbol))
            case "watchMarkPrice":
                return _any(exchange.watch_mark_price(symbol))
        return _any(exchange.watch_order_book(symbol))


def streamed_kinds(has: Mapping[str, Any]) -> frozenset[DataKind]:
    """Return what can be streamed of a venue, given ccxt's table of what it has there."""
    return frozenset(kind for kind in _NEEDS if _watched(has, kind))


def _watched(has: Mapping[str, Any], kind: DataKind) -> str | None:
    """Return the method that streams a kind, None when ccxt has none there."""
    return next((name for name in _NEEDS[kind] if has.get(name)), None)


def _any(asked: Any) -> Awaitable[Any]:
    answer: Awaitable[Any] = asked
    return answer


def _symbol(channel: Channel) -> str:
    return spelt(parse_instrument_id(channel.instrument))


def _is_refusal(error: Exception) -> bool:
    """Tell a venue that does not want from one that cannot be reached; ccxt itself is not imported for it."""
    names = {each.__name__ for each in type(error).__mro__}
    return "ExchangeError" in names


def _told(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()[:200]


def _trades(channel: Channel, told: list[dict[str, Any]], unit: float) -> dict[str, Any]:
    trades = [
        [
            str(each.get("id") or ""),
            each["timestamp"],
            each["price"],
            (each["amount"] or 0.0) * unit,
            each["side"],
        ]
        for each in told
    ]
    return {"about": "trades", "instrument": channel.instrument, "trades": trades}


def _ladder(channel: Channel, told: Mapping[str, Any], unit: float) -> dict[str, Any]:
    is_quote = channel.kind is DataKind.QUOTES
    depth = 1 if is_quote else channel.depth or None
    sides = {
        side: [[level[0], level[1] * unit] for level in list(told[side])[:depth]] for side in ("bids", "asks")
    }
    about = {"about": "book", "instrument": channel.instrument, "quote": is_quote}
    return {**about, **sides, "ts": told.get("timestamp") or 0}


def _candles(channel: Channel, told: list[list[float]], unit: float) -> dict[str, Any]:
    bars = [[*bar[:5], (bar[5] or 0.0) * unit] for bar in told]
    return {
        "about": "bars",
        "instrument": channel.instrument,
        "timeframe": channel.timeframe,
        "bars": bars,
    }


def _mark(channel: Channel, told: Mapping[str, Any], _unit: float) -> dict[str, Any]:
    return {
        "about": "mark",
        "instrument": channel.instrument,
        "ts": told.get("timestamp") or 0,
        "mark": told.get("markPrice"),
        "index": told.get("indexPrice"),
        "rate": told.get("fundingRate"),
        "due": told.get("fundingTimestamp") or 0,
    }


_SAY: dict[DataKind, Callable[[Channel, Any, float], dict[str, Any]]] = {
    DataKind.TRADES: _trades,
    DataKind.QUOTES: _ladder,
    DataKind.BOOK: _ladder,
    DataKind.BARS: _candles,
    DataKind.MARK: _mark,
}
