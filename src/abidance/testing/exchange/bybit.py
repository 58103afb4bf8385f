"""Bybit V5 from its own side: spot and linear."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from abidance.model.instrument import MS_NS, SECOND_NS, timeframe_ns
from abidance.model.market import DataKind
from abidance.testing.exchange.bybit_orders import BybitOrders
from abidance.testing.exchange.core import BUY, SELL, Print
from abidance.testing.exchange.desk import News
from abidance.testing.exchange.house import (
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
from abidance.venues.bybit.decode import TIMEFRAMES
from abidance.venues.dialect import Channel, Frame
from abidance.venues.net.limits import Window

_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_EVERY_MS = {1: 10, 50: 20, 200: 100, 1000: 200}
_PATH = "/v5/public/"
_ACCOUNT_STREAM = "/v5/private"


def symbol_of(market: Market) -> str:
    """Return Bybit's name of an instrument."""
    rules = market.instrument
    return f"{rules.base}PERP" if rules.name.settle == "USDC" else f"{rules.base}{rules.quote}"


class Bybit(House):
    """Spot and linear, told apart by category."""

    venue = "BYBIT"
    lifetime = 0
    has_perpetuals = True

    def __init__(self, markets: Sequence[Market], place: Place) -> None:
        self._place = place
        self._markets: dict[str, dict[str, Market]] = {
            "spot": {symbol_of(each): each for each in markets if not each.instrument.is_perpetual},
            "linear": {symbol_of(each): each for each in markets if each.instrument.is_perpetual},
        }
        self._orders = BybitOrders(self._markets, place)

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `GET /path`."""
        found: dict[str, Callable[[Asked], object]] = {
            "time": self._time,
            "instruments-info": self._info,
            "orderbook": self._book,
            "recent-trade": self._trades,
            "kline": self._klines,
            "mark-price-kline": self._klines,
            "tickers": self._tickers,
            "funding/history": self._funding,
        }
        return {f"GET /v5/market/{name}": answer for name, answer in found.items()} | dict(
            self._orders.routes
        )

    def accepts(self, path: str) -> bool:
        """Say whether a stream may be opened at a path."""
        bare = path.partition("?")[0]
        return bare == _ACCOUNT_STREAM or bare.removeprefix(_PATH) in self._markets

    def welcome(self, listener: Listener) -> None:
        """Say nothing."""

    def hear(self, listener: Listener, frame: Frame) -> None:
        """Answer subscribe, unsubscribe and ping."""
        asked = read(frame)
        if listener.path.startswith(_ACCOUNT_STREAM):
            self._orders.listen(listener, asked)
            return
        op, names, number = word(asked, "op"), asked.get("args", []), word(asked, "req_id")
        answer: dict[str, Any] = {
            "success": True,
            "ret_msg": "",
            "conn_id": f"local-{listener.number}",
            "req_id": number,
            "op": op,
        }
        if op == "ping":
            listener.say(said(answer | {"ret_msg": "pong"}))
        elif op in {"subscribe", "unsubscribe"} and isinstance(names, list):
            found = [self._found(listener, str(name)) for name in names]
            if None in found:
                text = f"error:handler not found,topic:{names[found.index(None)]}"
                listener.say(said(answer | {"success": False, "ret_msg": text}))
                return
            listener.say(said(answer))
            for name, each in zip(names, found, strict=True):
                topic = f"{_category(listener)}|{name}"
                if op == "unsubscribe":
                    listener.leave(topic)
                elif each is not None:
                    listener.listen(topic, *each)
        else:
            listener.say(said(answer | {"success": False, "ret_msg": "error:unknown op"}))

    def told(self, news: News) -> None:
        """Tell an account's own streams what happened to it."""
        self._orders.told(news)

    def greeting(self, line: Line) -> Sequence[Frame]:
        """Tell the whole ladder, quote, or ticker."""
        if line.channel.kind is DataKind.BOOK:
            # Those who listen already know this state under this number: the next change follows for all.
            line.number = line.number or line.market.book.update
            return (self._ladder(line, "snapshot", line.shown.whole(line.market.book, line.channel.depth)),)
        if line.channel.kind is DataKind.MARK:
            return (self._push(line, self._ticker(line.market), "snapshot"),)
        if line.channel.kind is DataKind.QUOTES:
            line.top = ()
            return self.frames(line)
        return ()

    def frames(self, line: Line) -> Sequence[Frame]:
        """Return what all listeners of a topic are told now."""
        market = line.market
        match line.channel.kind:
            case DataKind.TRADES:
                return [self._push(line, [self._print(market, each) for each in line.prints], "snapshot")]
            case DataKind.BOOK:
                changed = line.shown.changes(market.book, line.channel.depth, tell_pushed_out=True)
                if not any(changed):
                    return ()
                line.number += 1
                return (self._ladder(line, "delta", changed),)
            case DataKind.QUOTES:
                if line.moved_top() is None:
                    return ()
                line.number += 1
                return (self._ladder(line, "snapshot", line.shown.whole(market.book, 1)),)
            case DataKind.BARS:
                step = timeframe_ns(line.channel.timeframe)
                told = [
                    _candle(market, candle, line.channel.timeframe, step, is_closed=is_closed)
                    for candle, is_closed in line.bars(step, filled=True)
                ]
                return [self._push(line, told, "snapshot")] if told else ()
        return (self._push(line, self._moving(market), "delta"),)

    def farewell(self) -> Sequence[Frame]:
        """Say nothing: Bybit just closes."""
        return ()

    def crowded(self, seconds: int, *, is_ban: bool) -> Refusal:
        """Return the refusal of one request too many: 403 for an address, else 10006."""
        headers = {
            "Retry-After": str(seconds),
            "X-Bapi-Limit-Reset-Timestamp": str(millis(self._place.now) + seconds * 1000),
        }
        if is_ban:
            return Refusal(403, {"retCode": 10018, "retMsg": "Exceeded the IP Rate Limit."}, headers)
        return Refusal(429, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}, headers)

    def full(self, window: Window, seconds: int) -> Refusal:
        """Return the refusal of one order too many, which comes with 200."""
        reset = str(millis(self._place.now) + seconds * 1000)
        headers = {"X-Bapi-Limit": f"{window.limit:g}", "X-Bapi-Limit-Status": "0"}
        body = {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}
        return Refusal(200, body, headers | {"X-Bapi-Limit-Reset-Timestamp": reset})

    def _found(self, listener: Listener, name: str) -> tuple[Market, Channel, int] | None:
        """Return what a topic such as `orderbook.50.BTCUSDT` asks for."""
        kind, _, rest = name.partition(".")
        detail, _, symbol = rest.rpartition(".")
        market = self._markets[_category(listener)].get(symbol)
        if market is None:
            return None
        id = market.instrument.id
        if kind == "publicTrade":
            return market, Channel(id, DataKind.TRADES), 0
        if kind == "tickers":
            return market, Channel(id, DataKind.MARK), 100 * MS_NS
        if kind == "kline" and detail in _TIMEFRAME_OF:
            return market, Channel(id, DataKind.BARS, _TIMEFRAME_OF[detail]), SECOND_NS
        if kind == "orderbook" and detail.isdecimal() and int(detail) in _EVERY_MS:
            depth = int(detail)
            what = DataKind.QUOTES if depth == 1 else DataKind.BOOK
            return market, Channel(id, what, depth=depth), _EVERY_MS[depth] * MS_NS
        return None

    def _push(self, line: Line, data: object, what: str, **more: object) -> Frame:
        topic = line.topic.partition("|")[2]
        ts = millis(line.market.now)
        return said({"topic": topic, "type": what, "ts": ts, "data": data, **more})

    def _ladder(self, line: Line, what: str, levels: tuple[Any, Any]) -> Frame:
        market = line.market
        bids, asks = (texts(market, side) for side in levels)
        data = {"s": symbol_of(market), "b": bids, "a": asks, "u": line.number, "seq": market.book.update}
        return self._push(line, data, what, cts=millis(market.now))

    def _print(self, market: Market, each: Print) -> dict[str, Any]:
        return {
            "T": millis(each.ts),
            "s": symbol_of(market),
            "S": "Buy" if each.buyer_is_taker else "Sell",
            "v": market.lots.text(each.lots),
            "p": market.ticks.text(each.price),
            "L": "ZeroPlusTick",
            "i": str(each.id),
            "BT": False,
            "seq": each.id,
        }

    def _answer(self, result: object) -> object:
        now = millis(self._place.now)
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now}

    def _refusal(self, text: str) -> Refusal:
        now = millis(self._place.now)
        body = {"retCode": 10001, "retMsg": text, "result": {}, "retExtInfo": {}, "time": now}
        return Refusal(200, body)

    def _category(self, asked: Asked) -> dict[str, Market]:
        found = self._markets.get(asked.query.get("category", "linear"))
        if found is None:
            # There is nothing inverse and there are no options here, which is not an error.
            return {}
        return found

    def _market(self, asked: Asked) -> Market:
        found = self._category(asked).get(asked.query.get("symbol", ""))
        if found is None:
            raise self._refusal("params error: Symbol Invalid")
        return found

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return asked.whole(name, default)
        except ValueError:
            raise self._refusal(f"params error: {name} invalid") from None

    def _limit(self, asked: Asked, default: int, most: int) -> int:
        return min(max(self._whole(asked, "limit", default), 1), most)

    def _time(self, asked: Asked) -> object:
        del asked
        now = self._place.now
        return self._answer({"timeSecond": str(now // SECOND_NS), "timeNano": str(now)})

    def _info(self, asked: Asked) -> object:
        category = asked.query.get("category", "linear")
        describe = _pair if category == "spot" else _contract
        wanted = asked.query.get("symbol")
        rows = [
            describe(symbol, market)
            for symbol, market in self._category(asked).items()
            if wanted in (None, "", symbol)
        ]
        return self._answer({"category": category, "list": rows, "nextPageCursor": ""})

    def _book(self, asked: Asked) -> object:
        market = self._market(asked)
        depth = self._limit(asked, 25, 1000)
        bids, asks = (texts(market, market.book.levels(side, depth)) for side in (BUY, SELL))
        now = millis(market.now)
        told = {"s": symbol_of(market), "b": bids, "a": asks, "ts": now, "u": market.book.update}
        return self._answer(told | {"seq": market.book.update, "cts": now})

    def _trades(self, asked: Asked) -> object:
        market, is_spot = self._market(asked), asked.query.get("category") == "spot"
        limit = self._limit(asked, 60 if is_spot else 500, 60 if is_spot else 1000)
        rows = [
            {
                "execId": str(each.id),
                "symbol": symbol_of(market),
                "price": market.ticks.text(each.price),
                "size": market.lots.text(each.lots),
                "side": "Buy" if each.buyer_is_taker else "Sell",
                "time": str(millis(each.ts)),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(each.id),
            }
            for each in reversed(market.tape.prints(max(0, len(market.tape) - limit)))
        ]
        return self._answer({"category": asked.query.get("category"), "list": rows})

    def _klines(self, asked: Asked) -> object:
        """Tell bars, newest first: the newest before `end`, or the oldest from `start` on when both are given."""
        market, interval = self._market(asked), _TIMEFRAME_OF.get(asked.query.get("interval", ""))
        if interval is None:
            raise self._refusal("Invalid period!")
        step, limit = timeframe_ns(interval), self._limit(asked, 200, 1000)
        end = min((self._whole(asked, "end", NEVER // MS_NS - 1) + 1) * MS_NS, market.now + 1)
        start = self._whole(asked, "start", 0) * MS_NS
        if start and "end" not in asked.query:
            end = min(end, start + step * limit)
        start = max(start, end - step * (limit + 1))
        found = market.candles(step, start, end, filled=True)[-limit:]
        price, size = market.ticks.text, market.lots.text
        rows = [
            [
                str(millis(each.ts)),
                *map(price, (each.open, each.high, each.low, each.close)),
                size(each.lots),
                turnover(market, each),
            ]
            for each in reversed(found)
        ]
        if asked.path.endswith("mark-price-kline"):
            rows = [row[:5] for row in rows]
        told = {"symbol": symbol_of(market), "category": asked.query.get("category", "linear"), "list": rows}
        return self._answer(told)

    def _tickers(self, asked: Asked) -> object:
        markets = [self._market(asked)] if asked.query.get("symbol") else self._category(asked).values()
        rows = [self._ticker(each) for each in markets]
        return self._answer({"category": asked.query.get("category", "linear"), "list": rows})

    def _moving(self, market: Market) -> dict[str, Any]:
        """Return what of a ticker changes all the time."""
        told: dict[str, Any] = {"symbol": symbol_of(market)}
        price, size = market.ticks.text, market.lots.text
        for name, side in (("bid1", BUY), ("ask1", SELL)):
            best = market.book.best(side)
            told[f"{name}Price"] = price(best) if best else ""
            told[f"{name}Size"] = size(market.book.lots_at(side, best)) if best else ""
        told["lastPrice"] = price(market.tape.price[-1]) if len(market.tape) else ""
        if market.instrument.is_perpetual:
            mark = market.mark()
            told |= {
                "markPrice": price(mark.price),
                "indexPrice": price(mark.index_price),
                "fundingRate": f"{mark.rate:.8f}",
                "nextFundingTime": str(millis(mark.ts_funding)),
            }
        return told

    def _ticker(self, market: Market) -> dict[str, Any]:
        day, price, size = Day.of(market), market.ticks.text, market.lots.text
        return self._moving(market) | {
            "prevPrice24h": price(day.open),
            "price24hPcnt": f"{day.close / day.open - 1.0 if day.open else 0.0:.4f}",
            "highPrice24h": price(day.high),
            "lowPrice24h": price(day.low),
            "turnover24h": day.turnover,
            "volume24h": size(day.lots),
        }

    def _funding(self, asked: Asked) -> object:
        market, limit = self._market(asked), self._limit(asked, 200, 200)
        if "startTime" in asked.query and "endTime" not in asked.query:
            raise self._refusal("params error: endTime is required with startTime")
        start = self._whole(asked, "startTime", 0) * MS_NS
        end = self._whole(asked, "endTime", NEVER // MS_NS - 1) * MS_NS
        found = [each for each in market.fundings() if start <= each[0] <= end][-limit:]
        rows = [
            {
                "symbol": symbol_of(market),
                "fundingRate": f"{rate:.8f}",
                "fundingRateTimestamp": str(millis(ts)),
            }
            for ts, rate, _ in reversed(found)
        ]
        return self._answer({"category": "linear", "list": rows})


def _category(listener: Listener) -> str:
    return listener.path.partition("?")[0].removeprefix(_PATH)


def _candle(market: Market, candle: Candle, timeframe: str, step: int, *, is_closed: bool) -> dict[str, Any]:
    price = market.ticks.text
    return {
        "start": millis(candle.ts),
        "end": millis(candle.ts + step) - 1,
        "interval": TIMEFRAMES[timeframe],
        "open": price(candle.open),
        "close": price(candle.close),
        "high": price(candle.high),
        "low": price(candle.low),
        "volume": market.lots.text(candle.lots),
        "turnover": turnover(market, candle),
        "confirm": is_closed,
        "timestamp": millis(market.now),
    }


def _pair(symbol: str, market: Market) -> dict[str, Any]:
    rules = market.rules
    return {
        "symbol": symbol,
        "baseCoin": rules.base,
        "quoteCoin": rules.quote,
        "innovation": "0",
        "status": "Trading" if market.is_listed else "Closed",
        "marginTrading": "utaOnly",
        "lotSizeFilter": {
            "basePrecision": format(rules.lot, "f"),
            "quotePrecision": "0.0000001",
            "minOrderQty": format(rules.min_quantity, "f"),
            "maxOrderQty": "100000",
            "minOrderAmt": format(rules.min_notional, "f"),
            "maxOrderAmt": "8000000",
        },
        "priceFilter": {"tickSize": format(rules.tick, "f")},
    }


def _contract(symbol: str, market: Market) -> dict[str, Any]:
    rules = market.rules
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading" if market.is_listed else "Closed",
        "baseCoin": rules.base,
        "quoteCoin": rules.quote,
        "settleCoin": rules.name.settle,
        "launchTime": "1584230400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(market.ticks.decimals),
        "leverageFilter": {
            "minLeverage": "1",
            "maxLeverage": format(rules.max_leverage, "f"),
            "leverageStep": "0.01",
        },
        "priceFilter": {
            "minPrice": format(rules.tick, "f"),
            "maxPrice": "1999999.80",
            "tickSize": format(rules.tick, "f"),
        },
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "minOrderQty": format(rules.min_quantity, "f"),
            "qtyStep": format(rules.lot, "f"),
            "minNotionalValue": format(rules.min_notional, "f"),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": 480,
    }
