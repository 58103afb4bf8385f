"""Binance from its own side: spot under /api/v3, cross margin under /sapi/v1, USD-M perpetuals under /fapi/v1.

Each print is its own aggregate trade, so that both kinds of trade carry the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from abidance.model.instrument import MS_NS, SECOND_NS, timeframe_ns
from abidance.model.market import DataKind
from abidance.testing.exchange.binance_contracts import BinanceContracts
from abidance.testing.exchange.binance_keys import BinanceKeys
from abidance.testing.exchange.binance_limits import contract, one_too_many, pair, rate_limits
from abidance.testing.exchange.binance_margin import BinanceMargin
from abidance.testing.exchange.binance_orders import BinanceOrders
from abidance.testing.exchange.core import Print
from abidance.testing.exchange.desk import News
from abidance.testing.exchange.house import (
    DAY_NS,
    Asked,
    Day,
    House,
    Line,
    Listener,
    Place,
    Refusal,
    millis,
    read,
    said,
    texts,
    turnover,
    word,
)
from abidance.testing.exchange.market import NEVER, Market
from abidance.testing.exchange.tape import Candle
from abidance.venues.binance.decode import TIMEFRAMES
from abidance.venues.dialect import Channel, Frame
from abidance.venues.net.limits import Window

_SPEEDS = {"": 1000, "100ms": 100, "250ms": 250, "500ms": 500, "1000ms": 1000}
_NO_SYMBOL = {"code": -1121, "msg": "Invalid symbol."}
_NO_INTERVAL = {"code": -1120, "msg": "Invalid interval."}
_ENTRANCES = ("", "/public", "/market")
_ACCOUNT_STREAM = "/ws-api/v3"


def symbol_of(market: Market) -> str:
    """Return Binance's name of an instrument."""
    return f"{market.instrument.base}{market.instrument.quote}"


class Binance(House):
    """Spot and USD-M; a connection is on one of the two by the path at which it came in, or by host."""

    venue = "BINANCE"
    lifetime = DAY_NS
    has_perpetuals = True

    def __init__(self, markets: Sequence[Market], place: Place) -> None:
        self._place = place
        self._spot = {symbol_of(each): each for each in markets if not each.instrument.is_perpetual}
        self._futures = {symbol_of(each): each for each in markets if each.instrument.is_perpetual}
        keys = BinanceKeys(place)
        self._orders = BinanceOrders(self._spot, place, keys)
        self._margin = BinanceMargin(self._spot, place, keys)
        self._contracts = BinanceContracts(self._futures, place, keys)

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `GET /path`."""
        shared: dict[str, Callable[[Asked], object]] = {
            "ping": lambda _: {},
            "time": lambda _: {"serverTime": millis(self._place.now)},
            "exchangeInfo": self._info,
            "depth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._trades,
            "aggTrades": self._aggregate_trades,
            "klines": self._klines,
            "ticker/24hr": lambda asked: self._each(asked, self._day),
            "ticker/price": lambda asked: self._each(asked, self._last),
            "ticker/bookTicker": lambda asked: self._each(asked, self._best),
        }
        found = {
            f"GET {root}/{name}": answer
            for root in ("/api/v3", "/fapi/v1")
            for name, answer in shared.items()
        }
        futures: dict[str, Callable[[Asked], object]] = {
            "premiumIndex": lambda asked: self._each(asked, self._premium),
            "fundingRate": self._funding,
            "fundingInfo": lambda _: [],
            "markPriceKlines": self._mark_klines,
        }
        found |= {f"GET /fapi/v1/{name}": answer for name, answer in futures.items()}
        found["GET /dapi/v1/exchangeInfo"] = lambda _: {"timezone": "UTC", "rateLimits": [], "symbols": []}
        return found | dict(self._orders.routes) | dict(self._margin.routes) | dict(self._contracts.routes)

    def accepts(self, path: str) -> bool:
        """Say whether a stream may be opened at a path: raw and combined, with topics in it or not."""
        bare = path.partition("?")[0]
        return (
            bare == _ACCOUNT_STREAM
            or self._contracts.accepts(path)
            or any(bare.startswith((f"{way}/ws", f"{way}/stream")) for way in _ENTRANCES)
        )

    def welcome(self, listener: Listener) -> None:
        """Listen to the topics, or the account, that the address names."""
        if self._contracts.welcome(listener):
            return
        bare, _, query = listener.path.partition("?")
        names = query.removeprefix("streams=") if "/stream" in bare else bare.partition("/ws/")[2]
        for name in names.split("/"):
            if "@" in name:
                self._listen(listener, name)

    def hear(self, listener: Listener, frame: Frame) -> None:
        """Answer SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS."""
        asked = read(frame)
        if listener.path.startswith(_ACCOUNT_STREAM):
            is_token = word(asked, "method").endswith(".listenToken")
            (self._margin if is_token else self._orders).subscribe(listener, asked)
            return
        number, names = asked.get("id"), asked.get("params", [])
        match word(asked, "method"):
            case "SUBSCRIBE" if isinstance(names, list):
                # Binance answers the good and the unknown names alike: an unknown one is just never told.
                listener.say(said({"result": None, "id": number}))
                for name in names:
                    self._listen(listener, str(name))
            case "UNSUBSCRIBE" if isinstance(names, list):
                for name in names:
                    listener.leave(self._topic(listener, str(name)))
                listener.say(said({"result": None, "id": number}))
            case "LIST_SUBSCRIPTIONS":
                topics = sorted(topic.rpartition("|")[2] for topic in listener.topics)
                listener.say(said({"result": topics, "id": number}))
            case _:
                listener.say(said({"error": {"code": 2, "msg": "Invalid request"}, "id": number}))

    def told(self, news: News) -> None:
        """Tell an account's own streams what happened to it."""
        self._orders.told(news)
        self._margin.told(news)
        self._contracts.told(news)

    def greeting(self, line: Line) -> Sequence[Frame]:
        """Say nothing: ladders begin by REST, and the rest by what happens."""
        line.told_update = line.market.book.update
        return ()

    def frames(self, line: Line) -> Sequence[Frame]:
        """Return what all listeners of a topic are told now."""
        is_combined, _, rest = line.topic.partition("|")
        name = rest.partition("|")[2]
        payloads = _EVENTS[line.channel.kind](line)
        if is_combined:
            return [said({"stream": name, "data": payload}) for payload in payloads]
        return [said(payload) for payload in payloads]

    def farewell(self) -> Sequence[Frame]:
        """Announce the end."""
        return (said({"e": "serverShutdown", "E": millis(self._place.now)}),)

    def crowded(self, seconds: int, *, is_ban: bool) -> Refusal:
        """Return the refusal of one request too many."""
        code, text = -1003, f"Too much request weight used; please retry after {seconds} s."
        return Refusal(418 if is_ban else 429, {"code": code, "msg": text}, {"Retry-After": str(seconds)})

    def full(self, window: Window, seconds: int) -> Refusal:  # noqa: ARG002 (nobody says it)
        """Return the refusal of one order too many."""
        return one_too_many(window)

    def _topic(self, listener: Listener, name: str) -> str:
        """Return a topic with how its frames are wrapped, and which market it is about."""
        is_combined = "1" if "/stream" in listener.path else ""
        return f"{is_combined}|{'f' if self._is_futures(listener) else 's'}|{name}"

    def _is_futures(self, listener: Listener) -> bool:
        """Say whether a connection is about perpetuals: by its entrance, or because there is nothing else."""
        return listener.path.startswith(("/public", "/market")) or not self._spot

    def _listen(self, listener: Listener, name: str) -> None:
        symbol, _, stream = name.partition("@")
        futures = self._is_futures(listener)
        market = (self._futures if futures else self._spot).get(symbol.upper())
        if market is None:
            return
        kind, _, detail = stream.partition("@")
        found = _channel(market, kind, detail, is_futures=futures)
        if found is not None:
            channel, every = found
            listener.listen(self._topic(listener, name), market, channel, every)

    def _markets(self, asked: Asked) -> dict[str, Market]:
        return self._futures if asked.path.startswith("/fapi") else self._spot

    def _market(self, asked: Asked) -> Market:
        found = self._markets(asked).get(asked.query.get("symbol", ""))
        if found is None:
            raise Refusal(400, _NO_SYMBOL)
        return found

    def _each(self, asked: Asked, tell: Callable[[Market], object]) -> object:
        if "symbol" in asked.query:
            return tell(self._market(asked))
        wanted = read(f'{{"s":{asked.query["symbols"]}}}').get("s") if "symbols" in asked.query else []
        if not isinstance(wanted, list):
            raise Refusal(400, {"code": -1100, "msg": "Illegal characters found in parameter 'symbols'."})
        return [tell(each) for name, each in self._markets(asked).items() if not wanted or name in wanted]

    def _info(self, asked: Asked) -> object:
        markets = self._markets(asked)
        describe = contract if asked.path.startswith("/fapi") else pair
        return {
            "timezone": "UTC",
            "serverTime": millis(self._place.now),
            "rateLimits": rate_limits(f"{asked.path[1:].partition('/')[0]}.binance.com"),
            "exchangeFilters": [],
            "symbols": [describe(symbol, market) for symbol, market in markets.items()],
        }

    def _depth(self, asked: Asked) -> object:
        market = self._market(asked)
        depth = _limit(asked, 100, 1000 if asked.path.startswith("/fapi") else 5000)
        found: dict[str, Any] = {"lastUpdateId": market.book.update}
        if asked.path.startswith("/fapi"):
            found |= {"E": millis(market.now), "T": millis(market.now)}
        bids, asks = (texts(market, market.book.levels(side, depth)) for side in (1, -1))
        return found | {"bids": bids, "asks": asks}

    def _trades(self, asked: Asked) -> object:
        market, limit = self._market(asked), _limit(asked, 500, 1000)
        tape = market.tape
        start = max(0, len(tape) - limit)
        if "fromId" in asked.query:
            start = max(0, _whole(asked, "fromId") - tape.first_id)
        return [_public_trade(market, each) for each in tape.prints(start, start + limit)]

    def _aggregate_trades(self, asked: Asked) -> object:
        market, limit = self._market(asked), _limit(asked, 500, 1000)
        tape = market.tape
        first = tape.find(_whole(asked, "startTime", 0) * MS_NS)
        stop = tape.find((_whole(asked, "endTime", NEVER // MS_NS - 1) + 1) * MS_NS)
        if "fromId" in asked.query:
            first = max(0, _whole(asked, "fromId") - tape.first_id)
        elif "startTime" not in asked.query:
            first = max(0, stop - limit)
        return [_aggregate(market, each) for each in tape.prints(first, min(stop, first + limit))]

    def _klines(self, asked: Asked) -> object:
        market = self._market(asked)
        most = 1500 if asked.path.startswith("/fapi") else 1000
        return [_kline_row(market, each, step) for each, step in self._candles(asked, market, most)]

    def _mark_klines(self, asked: Asked) -> object:
        rows = [
            _kline_row(self._market(asked), each, step)
            for each, step in self._candles(asked, self._market(asked), 1500)
        ]
        return [[*row[:5], "0", row[6], "0", row[8], "0", "0", "0"] for row in rows]

    def _candles(self, asked: Asked, market: Market, most: int) -> list[tuple[Candle, int]]:
        interval = asked.query.get("interval", "")
        if interval not in TIMEFRAMES:
            raise Refusal(400, _NO_INTERVAL)
        step, limit = timeframe_ns(interval), _limit(asked, 500, most)
        end = min((_whole(asked, "endTime", NEVER // MS_NS - 1) + 1) * MS_NS, market.now + 1)
        if "startTime" in asked.query:
            start = _whole(asked, "startTime") * MS_NS
            end = min(end, start + step * (limit + 1))
            found = market.candles(step, start, end, filled=True)[:limit]
        else:
            found = market.candles(step, end - step * (limit + 1), end, filled=True)[-limit:]
        return [(candle, step) for candle in found]

    def _day(self, market: Market) -> object:
        day, price, size = Day.of(market), market.ticks.text, market.lots.text
        weighted = float(day.turnover) / market.lots.value(day.lots) if day.lots else 0.0
        return {
            "symbol": symbol_of(market),
            "priceChange": format((day.close - day.open) * market.instrument.tick, "f"),
            "priceChangePercent": f"{100.0 * (day.close / day.open - 1.0) if day.open else 0.0:.3f}",
            "weightedAvgPrice": f"{weighted:.8f}",
            "prevClosePrice": price(day.open),
            "lastPrice": price(day.close),
            "lastQty": size(day.last_lots),
            "bidPrice": price(day.bid),
            "bidQty": size(day.bid_lots),
            "askPrice": price(day.ask),
            "askQty": size(day.ask_lots),
            "openPrice": price(day.open),
            "highPrice": price(day.high),
            "lowPrice": price(day.low),
            "volume": size(day.lots),
            "quoteVolume": day.turnover,
            "openTime": millis(day.start),
            "closeTime": millis(market.now),
            "firstId": day.first_id,
            "lastId": day.first_id + day.count - 1,
            "count": day.count,
        }

    def _last(self, market: Market) -> object:
        last = market.tape.price[-1] if len(market.tape) else 0
        return {"symbol": symbol_of(market), "price": market.ticks.text(last), "time": millis(market.now)}

    def _best(self, market: Market) -> object:
        day, price, size = Day.of(market), market.ticks.text, market.lots.text
        return {
            "symbol": symbol_of(market),
            "bidPrice": price(day.bid),
            "bidQty": size(day.bid_lots),
            "askPrice": price(day.ask),
            "askQty": size(day.ask_lots),
            "time": millis(market.now),
        }

    def _premium(self, market: Market) -> object:
        mark = market.mark()
        return {
            "symbol": symbol_of(market),
            "markPrice": market.ticks.text(mark.price),
            "indexPrice": market.ticks.text(mark.index_price),
            "estimatedSettlePrice": market.ticks.text(mark.index_price),
            "lastFundingRate": f"{mark.rate:.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": millis(mark.ts_funding),
            "time": millis(market.now),
        }

    def _funding(self, asked: Asked) -> object:
        market, limit = self._market(asked), _limit(asked, 100, 1000)
        start, end = (
            _whole(asked, "startTime", 0) * MS_NS,
            _whole(asked, "endTime", NEVER // MS_NS - 1) * MS_NS,
        )
        found = [each for each in market.fundings() if start <= each[0] <= end]
        found = found[:limit] if "startTime" in asked.query else found[-limit:]
        return [
            {
                "symbol": symbol_of(market),
                "fundingTime": millis(ts),
                "fundingRate": f"{rate:.8f}",
                "markPrice": market.ticks.text(mark),
            }
            for ts, rate, mark in found
        ]


def _whole(asked: Asked, name: str, default: int | None = None) -> int:
    try:
        return asked.whole(name, default)
    except ValueError:
        raise Refusal(
            400, {"code": -1100, "msg": f"Illegal characters found in parameter '{name}'."}
        ) from None


def _limit(asked: Asked, default: int, most: int) -> int:
    return min(max(_whole(asked, "limit", default), 1), most)


def _channel(market: Market, kind: str, detail: str, *, is_futures: bool) -> tuple[Channel, int] | None:
    """Return what a stream name such as `depth@100ms` asks for, and over how many ns it is gathered."""
    id = market.instrument.id
    if kind in {"trade", "aggTrade"}:
        return Channel(id, DataKind.TRADES, kind), 0
    if kind == "bookTicker":
        return Channel(id, DataKind.QUOTES), 0
    if kind == "depth" and detail in _SPEEDS:
        return Channel(id, DataKind.BOOK), _SPEEDS[detail] * MS_NS
    if kind.startswith("kline_") and kind[6:] in TIMEFRAMES:
        return Channel(id, DataKind.BARS, kind[6:]), SECOND_NS
    if kind == "markPrice" and is_futures:
        return Channel(id, DataKind.MARK), SECOND_NS if detail == "1s" else 3 * SECOND_NS
    return None


def _tell_trades(line: Line) -> list[dict[str, Any]]:
    market, symbol = line.market, symbol_of(line.market)
    now = millis(market.now)
    found = []
    for each in line.prints:
        told: dict[str, Any] = {"e": line.channel.timeframe, "E": now, "s": symbol}
        if line.channel.timeframe == "trade":
            told["t"] = each.id
        else:
            told |= {"a": each.id, "f": each.id, "l": each.id}
        told |= {
            "p": market.ticks.text(each.price),
            "q": market.lots.text(each.lots),
            "T": millis(each.ts),
            "m": not each.buyer_is_taker,
        }
        if not market.instrument.is_perpetual:
            told["M"] = True
        elif line.channel.timeframe == "trade":
            told["X"] = "MARKET"
        found.append(told)
    return found


def _tell_quote(line: Line) -> list[dict[str, Any]]:
    top, market = line.moved_top(), line.market
    if top is None:
        return []
    told: dict[str, Any] = {"u": market.book.update, "s": symbol_of(market)}
    price, size = market.ticks.text, market.lots.text
    told |= {"b": price(top[0]), "B": size(top[1]), "a": price(top[2]), "A": size(top[3])}
    if market.instrument.is_perpetual:
        told = {"e": "bookTicker", **told, "T": millis(market.now), "E": millis(market.now)}
    return [told]


def _tell_book(line: Line) -> list[dict[str, Any]]:
    if not line.levels:
        return []
    market, (bids, asks) = line.market, line.merged()
    told: dict[str, Any] = {"e": "depthUpdate", "E": millis(market.now)}
    if market.instrument.is_perpetual:
        told["T"] = millis(market.now)
    told |= {"s": symbol_of(market), "U": line.first_update, "u": line.last_update}
    if market.instrument.is_perpetual:
        told["pu"] = line.told_update
    line.told_update = line.last_update
    return [told | {"b": texts(market, bids), "a": texts(market, asks)}]


def _tell_bars(line: Line) -> list[dict[str, Any]]:
    market, interval = line.market, line.channel.timeframe
    step = timeframe_ns(interval)
    return [
        {
            "e": "kline",
            "E": millis(market.now),
            "s": symbol_of(market),
            "k": _kline(market, candle, interval, step, is_closed=is_closed),
        }
        for candle, is_closed in line.bars(step, filled=True)
    ]


def _tell_mark(line: Line) -> list[dict[str, Any]]:
    market = line.market
    mark = market.mark()
    return [
        {
            "e": "markPriceUpdate",
            "E": millis(market.now),
            "s": symbol_of(market),
            "p": market.ticks.text(mark.price),
            "i": market.ticks.text(mark.index_price),
            "P": market.ticks.text(mark.index_price),
            "r": f"{mark.rate:.8f}",
            "T": millis(mark.ts_funding),
        }
    ]


_EVENTS: dict[DataKind, Callable[[Line], list[dict[str, Any]]]] = {
    DataKind.TRADES: _tell_trades,
    DataKind.QUOTES: _tell_quote,
    DataKind.BOOK: _tell_book,
    DataKind.BARS: _tell_bars,
    DataKind.MARK: _tell_mark,
}


def _kline(market: Market, candle: Candle, interval: str, step: int, *, is_closed: bool) -> dict[str, Any]:
    row = _kline_row(market, candle, step)
    return {
        "t": row[0],
        "T": row[6],
        "s": symbol_of(market),
        "i": interval,
        "f": candle.first_id,
        "L": candle.first_id + candle.trades - 1 if candle.trades else -1,
        "o": row[1],
        "c": row[4],
        "h": row[2],
        "l": row[3],
        "v": row[5],
        "n": row[8],
        "x": is_closed,
        "q": row[7],
        "V": row[9],
        "Q": row[10],
        "B": "0",
    }


def _kline_row(market: Market, candle: Candle, step: int) -> list[Any]:
    price, size = market.ticks.text, market.lots.text
    # The tape keeps no turnover of buyers alone: theirs is told at the bar's average price.
    bought = float(turnover(market, candle)) * (candle.taker_buys / candle.lots) if candle.lots else 0.0
    return [
        millis(candle.ts),
        price(candle.open),
        price(candle.high),
        price(candle.low),
        price(candle.close),
        size(candle.lots),
        millis(candle.ts + step) - 1,
        turnover(market, candle),
        candle.trades,
        size(candle.taker_buys),
        f"{bought:.8f}",
        "0",
    ]


def _public_trade(market: Market, each: Print) -> dict[str, Any]:
    unit = market.instrument.tick * market.instrument.lot
    return {
        "id": each.id,
        "price": market.ticks.text(each.price),
        "qty": market.lots.text(each.lots),
        "quoteQty": format(each.price * each.lots * unit, "f"),
        "time": millis(each.ts),
        "isBuyerMaker": not each.buyer_is_taker,
        "isBestMatch": True,
    }


def _aggregate(market: Market, each: Print) -> dict[str, Any]:
    return {
        "a": each.id,
        "p": market.ticks.text(each.price),
        "q": market.lots.text(each.lots),
        "f": each.id,
        "l": each.id,
        "T": millis(each.ts),
        "m": not each.buyer_is_taker,
        "M": True,
    }
