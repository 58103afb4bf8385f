"""MEXC spot V3 from its own side: JSON answers, protobuf pushes.

Frames are put together byte by byte from field numbers, without the schema by which our decoder reads them: a mistake
there would otherwise be made on both sides.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from abidance.model.instrument import MS_NS, SECOND_NS, timeframe_ns
from abidance.model.market import DataKind
from abidance.testing.exchange.core import BUY, SELL, Print
from abidance.testing.exchange.desk import News
from abidance.testing.exchange.house import (
    DAY_NS,
    Asked,
    Day,
    House,
    Levels,
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
from abidance.testing.exchange.market import NEVER, Market, Steps
from abidance.testing.exchange.mexc_frames import message
from abidance.testing.exchange.mexc_orders import MexcOrders
from abidance.testing.exchange.tape import Candle
from abidance.venues.dialect import Channel, Frame
from abidance.venues.mexc.decode import TIMEFRAMES

_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_INTERVALS = {
    "1m": "1m", "5m": "5m", "15m": "15m", "30m": "30m", "60m": "1h", "4h": "4h", "1d": "1d", "1W": "1w",
}  # fmt: skip
_SPEEDS = {"100ms": 100 * MS_NS, "10ms": 10 * MS_NS}
_TOPICS_PER_CONNECTION = 30
_BARS = 500


def symbol_of(market: Market) -> str:
    """Return MEXC's name of an instrument."""
    return f"{market.instrument.base}{market.instrument.quote}"


class Mexc(House):
    """Spot."""

    venue = "MEXC"
    lifetime = DAY_NS
    has_perpetuals = False

    def __init__(self, markets: Sequence[Market], place: Place) -> None:
        self._place = place
        self._markets = {symbol_of(each): each for each in markets if not each.instrument.is_perpetual}
        self._orders = MexcOrders(self._markets, place)

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `GET /path`."""
        found: dict[str, Callable[[Asked], object]] = {
            "ping": lambda _: {},
            "time": lambda _: {"serverTime": millis(self._place.now)},
            "exchangeInfo": self._info,
            "depth": self._depth,
            "trades": self._trades,
            "aggTrades": self._aggregate_trades,
            "klines": self._bars,
            "ticker/24hr": lambda asked: self._each(asked, _day),
            "ticker/price": lambda asked: self._each(asked, _last),
            "ticker/bookTicker": lambda asked: self._each(asked, _best),
        }
        # Contracts are another exchange under the same roof; it has nothing to offer here.
        nothing: dict[str, Callable[[Asked], object]] = {
            "GET /api/v1/contract/detail": lambda _: {"success": True, "code": 0, "data": []}
        }
        return (
            {f"GET /api/v3/{name}": answer for name, answer in found.items()}
            | nothing
            | dict(self._orders.routes)
        )

    def accepts(self, path: str) -> bool:
        """Say whether a stream may be opened at a path."""
        return path.partition("?")[0] == "/ws"

    def welcome(self, listener: Listener) -> None:
        """Say nothing."""
        self._orders.welcome(listener)

    def hear(self, listener: Listener, frame: Frame) -> None:
        """Answer SUBSCRIPTION, UNSUBSCRIPTION and PING."""
        asked = read(frame)
        method, names = word(asked, "method").upper(), asked.get("params", [])
        if method == "PING":
            listener.say(said({"id": 0, "code": 0, "msg": "PONG"}))
        elif method in {"SUBSCRIPTION", "UNSUBSCRIPTION"} and isinstance(names, list):
            rest = self._orders.listen(listener, method, [str(name) for name in names])
            if rest:
                self._change(listener, method, rest)
        else:
            listener.say(said({"id": 0, "code": 0, "msg": "no handler"}))

    def told(self, news: News) -> None:
        """Tell an account's own streams what happened to it."""
        self._orders.told(news)

    def greeting(self, line: Line) -> Sequence[Frame]:
        """Say nothing: ladders begin by REST, and the rest by what happens."""
        del line
        return ()

    def frames(self, line: Line) -> Sequence[Frame]:
        """Return what all listeners of a topic are told now."""
        match line.channel.kind:
            case DataKind.TRADES:
                return (_push(line, 314, _deals(line)),) if line.prints else ()
            case DataKind.BOOK:
                return (_push(line, 313, _depths(line)),) if line.levels else ()
            case DataKind.QUOTES:
                return (_push(line, 315, _top(line.market)),) if line.moved_top() else ()
        if not line.is_dirty:
            return ()
        step = timeframe_ns(line.channel.timeframe)
        return [
            _push(line, 308, _kline(line, each, step))
            for each, _ in line.bars(step, filled=False)
            if each.first_id + each.trades > line.prints[0].id
        ]

    def farewell(self) -> Sequence[Frame]:
        """Say nothing: MEXC just closes."""
        return ()

    def crowded(self, seconds: int, *, is_ban: bool) -> Refusal:
        """Return the refusal of one request too many."""
        body = {"code": 429, "msg": "Too Many Requests"}
        return Refusal(403 if is_ban else 429, body, {"Retry-After": str(seconds)})

    def _change(self, listener: Listener, method: str, names: Sequence[str]) -> None:
        """Answer by topic; what is unknown is named as not subscribed."""
        found = {name: _found(self._markets, name) for name in names}
        good = [name for name, each in found.items() if each is not None]
        bad = [name for name, each in found.items() if each is None]
        if method == "SUBSCRIPTION" and len(listener.topics | set(good)) > _TOPICS_PER_CONNECTION:
            bad, good = list(names), []
        if bad:
            text = f"Not Subscribed successfully! [{','.join(bad)}].  Reason： Blocked! "
            listener.say(said({"id": 0, "code": 0, "msg": text}))
        if good:
            listener.say(said({"id": 0, "code": 0, "msg": ",".join(good)}))
        for name in good:
            each = found[name]
            if method == "UNSUBSCRIPTION":
                listener.leave(name)
            elif each is not None:
                listener.listen(name, *each)

    def _market(self, asked: Asked) -> Market:
        found = self._markets.get(asked.query.get("symbol", ""))
        if found is None:
            raise Refusal(400, {"code": -1121, "msg": "Invalid symbol."})
        return found

    def _each(self, asked: Asked, tell: Callable[[Market], object]) -> object:
        if "symbol" in asked.query:
            return tell(self._market(asked))
        return [tell(each) for each in self._markets.values()]

    def _whole(self, asked: Asked, name: str, default: int) -> int:
        try:
            return asked.whole(name, default)
        except ValueError:
            raise Refusal(400, {"code": 700003, "msg": f"Parameter {name} is invalid."}) from None

    def _limit(self, asked: Asked, default: int, most: int) -> int:
        return min(max(self._whole(asked, "limit", default), 1), most)

    def _info(self, asked: Asked) -> object:
        del asked
        return {
            "timezone": "CST",
            "serverTime": millis(self._place.now),
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [_symbol(name, market) for name, market in self._markets.items()],
        }

    def _depth(self, asked: Asked) -> object:
        market, limit = self._market(asked), self._limit(asked, 100, 5000)
        bids, asks = (texts(market, market.book.levels(side, limit)) for side in (BUY, SELL))
        told = {"lastUpdateId": market.book.update, "bids": bids, "asks": asks}
        return told | {"timestamp": millis(market.now)}

    def _trades(self, asked: Asked) -> object:
        """Tell the last trades, newest first; they carry no number."""
        market, limit = self._market(asked), self._limit(asked, 500, 1000)
        return [
            _trade(market, each) for each in reversed(market.tape.prints(max(0, len(market.tape) - limit)))
        ]

    def _aggregate_trades(self, asked: Asked) -> object:
        market, limit = self._market(asked), self._limit(asked, 500, 1000)
        tape = market.tape
        first = tape.find(self._whole(asked, "startTime", 0) * MS_NS)
        stop = tape.find((self._whole(asked, "endTime", NEVER // MS_NS - 1) + 1) * MS_NS)
        if "startTime" not in asked.query:
            first = max(0, stop - limit)
        rows = tape.prints(first, min(stop, first + limit))
        return [
            {
                "a": None,
                "f": None,
                "l": None,
                "p": market.ticks.text(each.price),
                "q": market.lots.text(each.lots),
                "T": millis(each.ts),
                "m": not each.buyer_is_taker,
                "M": True,
            }
            for each in rows
        ]

    def _bars(self, asked: Asked) -> object:
        market, timeframe = self._market(asked), _INTERVALS.get(asked.query.get("interval", ""))
        if timeframe is None:
            raise Refusal(400, {"code": -1121, "msg": "Invalid interval."})
        step, limit = timeframe_ns(timeframe), self._limit(asked, _BARS, _BARS)
        end = min((self._whole(asked, "endTime", NEVER // MS_NS - 1) + 1) * MS_NS, market.now + 1)
        start = self._whole(asked, "startTime", 0) * MS_NS
        if start:
            found = market.candles(step, start, min(end, start + (limit + 1) * step), filled=True)[:limit]
        else:
            found = market.candles(step, end - (limit + 1) * step, end, filled=True)[-limit:]
        price = market.ticks.text
        return [
            [
                millis(each.ts),
                *map(price, (each.open, each.high, each.low, each.close)),
                market.lots.text(each.lots),
                millis(each.ts + step),
                turnover(market, each),
            ]
            for each in found
        ]


def _found(markets: Mapping[str, Market], name: str) -> tuple[Market, Channel, int] | None:
    """Return what a topic such as `spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT` asks for."""
    head, _, rest = name.partition(".api.pb@")
    first, _, second = rest.partition("@")
    if head == "spot@public.kline.v3":
        market = markets.get(first)
        if market is None or second not in _TIMEFRAME_OF:
            return None
        return market, Channel(market.instrument.id, DataKind.BARS, _TIMEFRAME_OF[second]), SECOND_NS
    kind = {
        "spot@public.aggre.deals.v3": DataKind.TRADES,
        "spot@public.aggre.depth.v3": DataKind.BOOK,
        "spot@public.aggre.bookTicker.v3": DataKind.QUOTES,
    }.get(head)
    market = markets.get(second)
    if kind is None or market is None or first not in _SPEEDS:
        return None
    return market, Channel(market.instrument.id, kind), _SPEEDS[first]


def _push(line: Line, number: int, body: bytes) -> Frame:
    market = line.market
    now = millis(market.now)
    return message(((1, line.topic), (3, symbol_of(market)), (5, now), (6, now), (number, body)))


def _levels(market: Market, number: int, levels: Levels) -> list[tuple[int, bytes]]:
    return [(number, message(((1, price), (2, size)))) for price, size in texts(market, levels)]


def _depths(line: Line) -> bytes:
    bids, asks = line.merged()
    market = line.market
    return message(
        (
            *_levels(market, 1, asks),
            *_levels(market, 2, bids),
            (3, "spot@public.aggre.depth.v3.api.pb"),
            (4, str(line.first_update)),
            (5, str(line.last_update)),
        )
    )


def _deals(line: Line) -> bytes:
    market = line.market
    rows = [
        (
            1,
            message(
                (
                    (1, market.ticks.text(each.price)),
                    (2, market.lots.text(each.lots)),
                    (3, 1 if each.buyer_is_taker else 2),
                    (4, millis(each.ts)),
                    (5, str(each.id)),
                )
            ),
        )
        for each in line.prints
    ]
    return message((*rows, (2, "spot@public.aggre.deals.v3.api.pb")))


def _top(market: Market) -> bytes:
    (bid,), (ask,) = (texts(market, market.book.levels(side, 1)) for side in (BUY, SELL))
    return message(((1, bid[0]), (2, bid[1]), (3, ask[0]), (4, ask[1]), (5, str(market.book.update))))


def _kline(line: Line, candle: Candle, step: int) -> bytes:
    market = line.market
    price = market.ticks.text
    return message(
        (
            (1, TIMEFRAMES[line.channel.timeframe]),
            (2, candle.ts // SECOND_NS),
            (3, price(candle.open)),
            (4, price(candle.close)),
            (5, price(candle.high)),
            (6, price(candle.low)),
            (7, market.lots.text(candle.lots)),
            (8, turnover(market, candle)),
            (9, (candle.ts + step) // SECOND_NS),
        )
    )


def _trade(market: Market, each: Print) -> dict[str, Any]:
    unit = market.instrument.tick * market.instrument.lot
    return {
        "id": None,
        "price": market.ticks.text(each.price),
        "qty": market.lots.text(each.lots),
        "quoteQty": format(each.price * each.lots * unit, "f"),
        "time": millis(each.ts),
        "isBuyerMaker": not each.buyer_is_taker,
        "isBestMatch": True,
        "tradeType": "BID" if each.buyer_is_taker else "ASK",
    }


def _day(market: Market) -> object:
    day, price, size = Day.of(market), market.ticks.text, market.lots.text
    return {
        "symbol": symbol_of(market),
        "priceChange": format((day.close - day.open) * market.instrument.tick, "f"),
        "priceChangePercent": f"{day.close / day.open - 1.0 if day.open else 0.0:.4f}",
        "prevClosePrice": price(day.open),
        "lastPrice": price(day.close),
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
        "count": None,
    }


def _last(market: Market) -> object:
    last = market.tape.price[-1] if len(market.tape) else 0
    return {"symbol": symbol_of(market), "price": market.ticks.text(last)}


def _best(market: Market) -> object:
    (bid,), (ask,) = (texts(market, market.book.levels(side, 1)) or [["0", "0"]] for side in (BUY, SELL))
    names = {"bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0], "askQty": ask[1]}
    return {"symbol": symbol_of(market), **names}


def _symbol(name: str, market: Market) -> dict[str, Any]:
    rules = market.rules
    return {
        "symbol": name,
        "status": "1" if market.is_listed else "3",
        "baseAsset": rules.base,
        "baseAssetPrecision": Steps(rules.lot).decimals,
        "quoteAsset": rules.quote,
        "quotePrecision": Steps(rules.tick).decimals,
        "quoteAssetPrecision": Steps(rules.tick).decimals,
        "baseCommissionPrecision": Steps(rules.lot).decimals,
        "quoteCommissionPrecision": Steps(rules.tick).decimals,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER", "IMMEDIATE_OR_CANCEL", "FILL_OR_KILL"],
        "isSpotTradingAllowed": market.is_listed,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": format(rules.min_notional, "f"),
        "baseSizePrecision": format(rules.min_quantity, "f"),
        "permissions": ["SPOT"],
        "filters": [],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecisionMarket": format(rules.min_notional, "f"),
        "maxQuoteAmountMarket": "100000",
        "fullName": rules.base,
        "tradeSideType": 1,
    }
