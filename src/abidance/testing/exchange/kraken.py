"""Kraken spot from its own side: REST, and WebSocket v2 with its checksums.

Numbers in frames carry all decimals of the pair, as Kraken's do. OHLC answers hold 720 bars however one asks.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import DataKind
from abidance.testing.exchange.core import BUY, SELL, Print
from abidance.testing.exchange.desk import News
from abidance.testing.exchange.house import (
    Asked,
    Day,
    House,
    Levels,
    Line,
    Listener,
    Place,
    Refusal,
    read,
    said,
    turnover,
    word,
)
from abidance.testing.exchange.kraken_orders import KrakenOrders
from abidance.testing.exchange.market import NEVER, Market, Steps
from abidance.testing.exchange.tape import Candle
from abidance.venues.dialect import Channel, Frame
from abidance.venues.kraken.decode import TIMEFRAMES
from abidance.venues.net.limits import Request, Window

_BARS = 720
_TRADES = 1000
_DEPTHS = frozenset({10, 25, 100, 500, 1000})
_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_OLD_BASES = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "LTC": "XLTC", "DOGE": "XXDG"}
_ALTERNATIVE = {"BTC": "XBT", "DOGE": "XDG"}
_FIAT = frozenset({"USD", "EUR", "GBP", "CAD", "JPY"})


def symbol_of(market: Market) -> str:
    """Return what streams call an instrument."""
    return f"{market.instrument.base}/{market.instrument.quote}"


def _alternative(market: Market, separator: str = "") -> str:
    rules = market.instrument
    return f"{_ALTERNATIVE.get(rules.base, rules.base)}{separator}{rules.quote}"


def _key(market: Market) -> str:
    """Return under which key REST answers an instrument: old assets against money carry X and Z."""
    rules = market.instrument
    if rules.quote in _FIAT and rules.base in _OLD_BASES and rules.base != "DOGE":
        return f"{_OLD_BASES[rules.base]}Z{rules.quote}"
    return _alternative(market)


def _asset_names(markets: Sequence[Market]) -> dict[str, str]:
    """Return how REST calls the assets of some markets."""
    names = {asset for each in markets for asset in (each.instrument.base, each.instrument.quote)}
    return {name: _OLD_BASES.get(name, f"Z{name}" if name in _FIAT else name) for name in names}


class Kraken(House):
    """Spot."""

    venue = "KRAKEN"
    lifetime = 0
    has_perpetuals = False

    def __init__(self, markets: Sequence[Market], place: Place) -> None:
        self._place = place
        self._markets = {symbol_of(each): each for each in markets if not each.instrument.is_perpetual}
        self._named: dict[str, Market] = {}
        for market in self._markets.values():
            for name in (_key(market), _alternative(market), _alternative(market, "/"), symbol_of(market)):
                self._named[name] = market
        self._orders = KrakenOrders(self._markets, self._named, place, _asset_names(markets))

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `GET /path`."""
        found: dict[str, Callable[[Asked], object]] = {
            "Time": self._time,
            "SystemStatus": lambda _: _answer({"status": "online", "timestamp": _moment(self._place.now)}),
            "Assets": self._assets,
            "AssetPairs": self._pairs,
            "Ticker": self._tickers,
            "OHLC": self._bars,
            "Trades": self._trades,
            "Depth": self._depth,
        }
        return {f"GET /0/public/{name}": answer for name, answer in found.items()} | dict(self._orders.routes)

    def asks(self, asked: Asked) -> bool:
        """Say whether a request only asks: its name tells, for everything signed is posted."""
        return asked.method == "GET" or self._orders.asks(asked.path)

    def accepts(self, path: str) -> bool:
        """Say whether a stream may be opened at a path."""
        return path.partition("?")[0] == "/v2"

    def welcome(self, listener: Listener) -> None:
        """Tell the status of the system."""
        status = {
            "version": "2.0.10",
            "system": "online",
            "api_version": "v2",
            "connection_id": listener.number,
        }
        listener.say(said({"channel": "status", "type": "update", "data": [status]}))

    def heartbeat(self) -> Sequence[Frame]:
        """Return what every connection hears each second."""
        return ('{"channel":"heartbeat"}',)

    def hear(self, listener: Listener, frame: Frame) -> None:
        """Answer subscribe, unsubscribe and ping."""
        asked = read(frame)
        method, params = word(asked, "method"), asked.get("params")
        number = {"req_id": asked["req_id"]} if isinstance(asked.get("req_id"), int) else {}
        now = _moment(self._place.now)
        times = {"time_in": now, "time_out": now}
        if method == "ping":
            listener.say(said({"method": "pong", **number, **times}))
        elif method in {"subscribe", "unsubscribe"} and isinstance(params, dict):
            if self._orders.listen(listener, params, {"method": method, **number, **times}):
                return
            names = params.get("symbol")
            for name in names if isinstance(names, list) else [names]:
                self._change(listener, method, params, str(name), {**number, **times})
        else:
            error = {"error": "Malformed request", "method": method, "success": False}
            listener.say(said({**error, **number, **times}))

    def told(self, news: News) -> None:
        """Tell an account's own streams what happened to it."""
        self._orders.told(news)

    def greeting(self, line: Line) -> Sequence[Frame]:
        """Tell the whole ladder, the quote, recent trades or bars, where a snapshot was asked for."""
        market, kind = line.market, line.channel.kind
        if kind is DataKind.BOOK:
            return (self._ladder(line, "snapshot", line.shown.whole(market.book, line.channel.depth)),)
        if not line.topic.endswith("snapshot"):
            return ()
        match kind:
            case DataKind.QUOTES:
                line.top = ()
                return self.frames(line)
            case DataKind.TRADES:
                recent = market.tape.prints(max(0, len(market.tape) - 50))
                return (self._push("trade", "snapshot", [_print(market, each) for each in recent]),)
        step = timeframe_ns(line.channel.timeframe)
        recent_bars = market.candles(step, market.now - 9 * step, NEVER, filled=True)
        rows = [_candle(market, each, step) for each in recent_bars]
        return (self._push("ohlc", "snapshot", rows),)

    def frames(self, line: Line) -> Sequence[Frame]:
        """Return what all listeners of a topic are told now."""
        market = line.market
        match line.channel.kind:
            case DataKind.TRADES:
                return (self._push("trade", "update", [_print(market, each) for each in line.prints]),)
            case DataKind.BOOK:
                changed = line.shown.changes(market.book, line.channel.depth, tell_pushed_out=False)
                return (self._ladder(line, "update", changed),) if any(changed) else ()
            case DataKind.QUOTES:
                what = "update" if line.top else "snapshot"
                if line.moved_top() is None:
                    return ()
                return (self._push("ticker", what, [_ticker(market)]),)
        if not line.is_dirty:
            return ()
        step = timeframe_ns(line.channel.timeframe)
        # A bar in which nothing traded is not told, nor is one told twice without news.
        rows = [
            _candle(market, each, step)
            for each, _ in line.bars(step, filled=False)
            if each.first_id + each.trades > line.prints[0].id
        ]
        return (self._push("ohlc", "update", rows),) if rows else ()

    def farewell(self) -> Sequence[Frame]:
        """Announce the end."""
        status = {"version": "2.0.10", "system": "maintenance", "api_version": "v2", "connection_id": 0}
        return (said({"channel": "status", "type": "update", "data": [status]}),)

    def crowded(self, seconds: int, *, is_ban: bool) -> Refusal:
        """Return the refusal of one request too many: an error in a good answer, or 429 for a ban."""
        body = {"error": ["EGeneral:Temporary lockout" if is_ban else "EAPI:Rate limit exceeded"]}
        return Refusal(429 if is_ban else 200, body, {"Retry-After": str(seconds)})

    def counted(self, asked: Asked) -> Request:
        """Return a request as Kraken counts it: orders by their age."""
        return self._orders.counted(asked)

    def full(self, window: Window, seconds: int) -> Refusal:  # noqa: ARG002 (nobody says it)
        """Return the refusal of one order too many."""
        return Refusal(200, {"error": ["EOrder:Rate limit exceeded"]})

    def _change(
        self, listener: Listener, method: str, params: Mapping[str, Any], name: str, tail: dict[str, Any]
    ) -> None:
        """Subscribe or unsubscribe one symbol; each has an answer of its own."""
        market = self._markets.get(name)
        found = None if market is None else _asked_for(market, params)
        if market is None or found is None:
            error = f"Currency pair not supported {name}" if market is None else "Subscription not supported"
            listener.say(said({"error": error, "method": method, "success": False, "symbol": name, **tail}))
            return
        channel, result = found
        wants = params.get("snapshot", True) is not False
        topic = (
            f"{params['channel']} {name} {channel.depth or channel.timeframe} {'snapshot' if wants else ''}"
        )
        answer = {"method": method, "result": {**result, "symbol": name}, "success": True, **tail}
        if method == "subscribe":
            listener.say(said(answer))
            every = SECOND_NS if channel.kind is DataKind.BARS else 0
            listener.listen(topic, market, channel, every)
            return
        for end in ("snapshot", ""):
            listener.leave(topic.removesuffix("snapshot") + end)
        listener.say(said(answer))

    def _push(self, channel: str, what: str, rows: Sequence[object]) -> Frame:
        return said({"channel": channel, "type": what, "data": rows})

    def _ladder(self, line: Line, what: str, levels: tuple[Levels, Levels]) -> Frame:
        market = line.market
        bids, asks = (
            [{"price": _raw(market.ticks.text(at)), "qty": _raw(market.lots.text(lots))} for at, lots in side]
            for side in levels
        )
        row = {
            "symbol": symbol_of(market),
            "bids": bids,
            "asks": asks,
            "checksum": checksum(market),
            "timestamp": _moment(market.now),
        }
        return self._push("book", what, [row])

    def _market(self, asked: Asked) -> Market:
        found = self._named.get(asked.query.get("pair", ""))
        if found is None:
            raise Refusal(200, {"error": ["EQuery:Unknown asset pair"]})
        return found

    def _time(self, asked: Asked) -> object:
        del asked
        seconds = self._place.now // SECOND_NS
        stamp = datetime.fromtimestamp(seconds, UTC).strftime("%a, %d %b %y %H:%M:%S +0000")
        return _answer({"unixtime": seconds, "rfc1123": stamp})

    def _assets(self, asked: Asked) -> object:
        del asked
        rows = {}
        for asset, key in _asset_names(list(self._markets.values())).items():
            rows[key] = {
                "aclass": "currency",
                "altname": _ALTERNATIVE.get(asset, asset),
                "decimals": 10,
                "display_decimals": 5,
                "status": "enabled",
            }
        return _answer(rows)

    def _pairs(self, asked: Asked) -> object:
        markets = [self._market(asked)] if "pair" in asked.query else list(self._markets.values())
        return _answer({_key(market): _pair(market) for market in markets})

    def _tickers(self, asked: Asked) -> object:
        markets = [self._market(asked)] if "pair" in asked.query else list(self._markets.values())
        return _answer({_key(market): _rest_ticker(market) for market in markets})

    def _bars(self, asked: Asked) -> object:
        """Tell the newest 720 bars, the one that is forming last; `since` only leaves older ones out."""
        market = self._market(asked)
        interval = asked.query.get("interval", "1")
        if interval not in _TIMEFRAME_OF:
            raise Refusal(200, {"error": ["EGeneral:Invalid arguments:interval"]})
        step = timeframe_ns(_TIMEFRAME_OF[interval])
        since = self._whole(asked, "since", 0) * SECOND_NS
        found = market.candles(step, market.now - (_BARS + 1) * step, NEVER, filled=True)[-_BARS:]
        price = market.ticks.text
        rows = [
            [
                each.ts // SECOND_NS,
                *map(price, (each.open, each.high, each.low, each.close)),
                _average(market, each),
                market.lots.text(each.lots),
                each.trades,
            ]
            for each in found
            if each.ts > since
        ]
        last = found[-2].ts // SECOND_NS if len(found) > 1 else 0
        return _answer({_key(market): rows, "last": last})

    def _trades(self, asked: Asked) -> object:
        """Tell up to a thousand trades after `since` (ns), oldest first; `last` is where to go on.

        A page does not end between two trades of one moment, so that going on after `last` misses none.
        """
        market = self._market(asked)
        tape, count = market.tape, min(max(self._whole(asked, "count", _TRADES), 1), _TRADES)
        since = self._whole(asked, "since", -1)
        if 0 <= since < 10**12:
            since *= SECOND_NS
        first = tape.find(since + 1) if since >= 0 else max(0, len(tape) - count)
        stop = min(len(tape), first + count)
        while 0 < stop < len(tape) and tape.ts[stop] == tape.ts[stop - 1]:
            stop += 1
        rows = [
            [
                market.ticks.text(each.price),
                market.lots.text(each.lots),
                _raw(f"{each.ts // SECOND_NS}.{each.ts % SECOND_NS // 100:07d}"),
                "b" if each.buyer_is_taker else "s",
                "l",
                "",
                each.id,
            ]
            for each in tape.prints(first, stop)
        ]
        last = tape.ts[stop - 1] if stop > first else max(since, 0)
        return _answer({_key(market): rows, "last": str(last)})

    def _depth(self, asked: Asked) -> object:
        market = self._market(asked)
        count = min(max(self._whole(asked, "count", 100), 1), 500)
        now = market.now // SECOND_NS
        asks, bids = (
            [
                [market.ticks.text(at), market.lots.text(lots), now]
                for at, lots in market.book.levels(side, count)
            ]
            for side in (SELL, BUY)
        )
        return _answer({_key(market): {"asks": asks, "bids": bids}})

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return asked.whole(name, default)
        except ValueError:
            raise Refusal(200, {"error": [f"EGeneral:Invalid arguments:{name}"]}) from None


def checksum(market: Market) -> int:
    """Return the CRC32 over the digits of the best ten asks, then bids, without leading zeros."""
    texts = [
        text.replace(".", "").lstrip("0")
        for side in (SELL, BUY)
        for price, lots in market.book.levels(side, 10)
        for text in (market.ticks.text(price), market.lots.text(lots))
    ]
    return zlib.crc32("".join(texts).encode())


def _asked_for(market: Market, params: Mapping[str, Any]) -> tuple[Channel, dict[str, Any]] | None:
    """Return what a subscription asks for, and how it is confirmed."""
    id, name = market.instrument.id, params.get("channel")
    result: dict[str, Any] = {"channel": name, "snapshot": params.get("snapshot", True)}
    match name:
        case "trade":
            return Channel(id, DataKind.TRADES), result
        case "ticker":
            return Channel(id, DataKind.QUOTES), result | {
                "event_trigger": params.get("event_trigger", "trades")
            }
        case "book":
            depth = params.get("depth", 10)
            return (
                (Channel(id, DataKind.BOOK, depth=depth), result | {"depth": depth})
                if depth in _DEPTHS
                else None
            )
        case "ohlc":
            interval = params.get("interval", 1)
            timeframe = _TIMEFRAME_OF.get(str(interval))
            return (
                (Channel(id, DataKind.BARS, timeframe), result | {"interval": interval})
                if timeframe
                else None
            )
    return None


def _raw(text: str) -> msgspec.Raw:
    """Return a number written with just these digits."""
    return msgspec.Raw(text.encode())


def _moment(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S}.{ts % SECOND_NS // 1000:06d}Z"


def _answer(result: object) -> object:
    return {"error": [], "result": result}


def _average(market: Market, candle: Candle) -> str:
    if not candle.lots:
        return "0.0"
    mean = float(turnover(market, candle)) / market.lots.value(candle.lots)
    return f"{mean:.{market.ticks.decimals}f}"


def _print(market: Market, each: Print) -> dict[str, Any]:
    return {
        "symbol": symbol_of(market),
        "side": "buy" if each.buyer_is_taker else "sell",
        "price": _raw(market.ticks.text(each.price)),
        "qty": _raw(market.lots.text(each.lots)),
        "ord_type": "limit",
        "trade_id": each.id,
        "timestamp": _moment(each.ts),
    }


def _ticker(market: Market) -> dict[str, Any]:
    book, price, size = market.book, market.ticks.text, market.lots.text
    bid, ask = book.best(BUY) or 0, book.best(SELL) or 0
    return {
        "symbol": symbol_of(market),
        "bid": _raw(price(bid)),
        "bid_qty": _raw(size(book.lots_at(BUY, bid))),
        "ask": _raw(price(ask)),
        "ask_qty": _raw(size(book.lots_at(SELL, ask))),
        "last": _raw(price(market.tape.price[-1] if len(market.tape) else 0)),
        "timestamp": _moment(market.now),
    }


def _candle(market: Market, candle: Candle, step: int) -> dict[str, Any]:
    price = market.ticks.text
    return {
        "symbol": symbol_of(market),
        "open": _raw(price(candle.open)),
        "high": _raw(price(candle.high)),
        "low": _raw(price(candle.low)),
        "close": _raw(price(candle.close)),
        "trades": candle.trades,
        "volume": _raw(market.lots.text(candle.lots)),
        "vwap": _raw(_average(market, candle)),
        "interval_begin": _moment(candle.ts),
        "interval": step // (60 * SECOND_NS),
        "timestamp": _moment(candle.ts + step),
    }


def _rest_ticker(market: Market) -> dict[str, Any]:
    day, price, size = Day.of(market), market.ticks.text, market.lots.text
    mean = f"{float(day.turnover) / market.lots.value(day.lots):.5f}" if day.lots else "0.0"
    return {
        "a": [price(day.ask), "1", size(day.ask_lots)],
        "b": [price(day.bid), "1", size(day.bid_lots)],
        "c": [price(day.close), size(day.last_lots)],
        "v": [size(day.lots), size(day.lots)],
        "p": [mean, mean],
        "t": [day.count, day.count],
        "l": [price(day.low), price(day.low)],
        "h": [price(day.high), price(day.high)],
        "o": price(day.open),
    }


def _pair(market: Market) -> dict[str, Any]:
    rules = market.rules
    return {
        "altname": _alternative(market),
        "wsname": _alternative(market, "/"),
        "aclass_base": "currency",
        "base": _OLD_BASES.get(rules.base, rules.base),
        "aclass_quote": "currency",
        "quote": f"Z{rules.quote}" if rules.quote in _FIAT else rules.quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": Steps(rules.tick).decimals,
        "lot_decimals": Steps(rules.lot).decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": format(rules.min_quantity, "f"),
        "costmin": format(rules.min_notional, "f"),
        "tick_size": format(rules.tick, "f"),
        "status": "online" if market.is_listed else "cancel_only",
    }
