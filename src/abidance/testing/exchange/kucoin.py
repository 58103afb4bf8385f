"""KuCoin from its own side: spot and its cross margin account.

A connection needs a token that was handed out by REST and lasts a day.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

from abidance.model.instrument import MS_NS, SECOND_NS, timeframe_ns
from abidance.model.market import DataKind
from abidance.testing.exchange.core import BUY, SELL, Print
from abidance.testing.exchange.counter import Ears
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
from abidance.testing.exchange.kucoin_margin import KuCoinMargin
from abidance.testing.exchange.kucoin_orders import KuCoinOrders
from abidance.testing.exchange.market import NEVER, Market
from abidance.testing.exchange.tape import Candle
from abidance.venues.dialect import Channel, Frame
from abidance.venues.kucoin.decode import TIMEFRAMES

_TIMEFRAME_OF = {theirs: ours for ours, theirs in TIMEFRAMES.items()}
_BARS = 1500
_PING_MS = 18_000


def symbol_of(market: Market) -> str:
    """Return KuCoin's name of an instrument."""
    return f"{market.instrument.base}-{market.instrument.quote}"


class KuCoin(House):
    """Spot and cross margin."""

    venue = "KUCOIN"
    lifetime = 0
    has_perpetuals = False

    def __init__(self, markets: Sequence[Market], place: Place) -> None:
        self._place = place
        self._markets = {symbol_of(each): each for each in markets if not each.instrument.is_perpetual}
        self._tokens: dict[str, int] = {}
        ears = Ears()
        self._orders = KuCoinOrders(self._markets, place, ears)
        self._margin = KuCoinMargin(self._markets, place, ears)
        self.loans = self._margin.loans

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `METHOD /path`."""
        return {
            **self._orders.routes,
            **self._margin.routes,
            "POST /api/v1/bullet-public": self._admit,
            "POST /api/v1/bullet-private": self._orders.signed(
                lambda account, _: self._hand_out(self._orders.token(account))
            ),
            "GET /api/v1/timestamp": lambda _: _answer(millis(self._place.now)),
            "GET /api/v1/status": lambda _: _answer({"status": "open", "msg": ""}),
            "GET /api/v1/symbols": self._symbols,
            "GET /api/v2/symbols": self._symbols,
            "GET /api/v3/currencies": self._currencies,
            "GET /api/v1/contracts/active": lambda _: _answer([]),
            "GET /api/v1/market/allTickers": self._all_tickers,
            "GET /api/v1/market/stats": lambda asked: _answer(self._day(self._market(asked))),
            "GET /api/v1/market/orderbook/level1": self._level1,
            "GET /api/v1/market/orderbook/level2_20": lambda asked: self._level2(asked, 20),
            "GET /api/v1/market/orderbook/level2_100": lambda asked: self._level2(asked, 100),
            "GET /api/v1/market/histories": self._histories,
            "GET /api/v1/market/candles": self._bars,
        }

    def accepts(self, path: str) -> bool:
        """Say whether a stream may be opened: with a token that was handed out less than a day ago."""
        token = parse_qs(path.partition("?")[2]).get("token", [""])[0]
        born = self._tokens.get(token)
        return born is not None and self._place.now - born < DAY_NS

    def welcome(self, listener: Listener) -> None:
        """Say welcome; before it a client may ask for nothing."""
        self._orders.welcome(listener)
        listener.say(said({"id": f"local-{listener.number}", "type": "welcome"}))

    def hear(self, listener: Listener, frame: Frame) -> None:
        """Answer subscribe, unsubscribe and ping."""
        asked = read(frame)
        number, what, topic = str(asked.get("id", "")), word(asked, "type"), word(asked, "topic")
        if what == "ping":
            listener.say(said({"id": number, "type": "pong", "timestamp": self._place.now // 1000}))
            return
        if self._orders.hears(listener, topic):
            self._orders.listen(listener, topic, is_on=what == "subscribe")
            listener.say(said({"id": number, "type": "ack"}))
            return
        name, _, symbols = topic.partition(":")
        found = [_found(self._markets, name, each) for each in symbols.split(",")]
        if what not in {"subscribe", "unsubscribe"} or None in found:
            answer = {"id": number, "type": "error", "code": 404, "data": f"topic {topic} is not found"}
            listener.say(said(answer))
            return
        if asked.get("response"):
            listener.say(said({"id": number, "type": "ack"}))
        for symbol, each in zip(symbols.split(","), found, strict=True):
            if what == "unsubscribe":
                listener.leave(f"{name}:{symbol}")
            elif each is not None:
                listener.listen(f"{name}:{symbol}", *each)

    def told(self, news: News) -> None:
        """Tell an account's own streams what happened to it."""
        self._orders.told(news)
        self._margin.told(news)

    def greeting(self, line: Line) -> Sequence[Frame]:
        """Say nothing: ladders begin by REST, and the rest by what happens."""
        del line
        return ()

    def frames(self, line: Line) -> Sequence[Frame]:
        """Return what all listeners of a topic are told now."""
        match line.channel.kind:
            case DataKind.TRADES:
                return [_push(line, "trade.l3match", _match(line.market, each)) for each in line.prints]
            case DataKind.BOOK:
                return (_push(line, "trade.l2update", _changes(line)),) if line.changes else ()
            case DataKind.QUOTES:
                if line.moved_top() is None:
                    return ()
                if line.topic.startswith("/spotMarket"):
                    return (_push(line, "level1", _best(line.market)),)
                return (_push(line, "trade.ticker", _ticker(line.market)),)
        if not line.is_dirty:
            return ()
        step = timeframe_ns(line.channel.timeframe)
        return [
            _push(line, "trade.candles.update", _candle(line.market, each))
            for each, _ in line.bars(step, filled=False)
            if each.first_id + each.trades > line.prints[0].id
        ]

    def farewell(self) -> Sequence[Frame]:
        """Say nothing: KuCoin just closes."""
        return ()

    def crowded(self, seconds: int, *, is_ban: bool) -> Refusal:
        """Return the refusal of one request too many."""
        headers = {"Retry-After": str(seconds), "gw-ratelimit-reset": str(seconds * 1000)}
        code = "1015" if is_ban else "429000"
        return Refusal(403 if is_ban else 429, {"code": code, "msg": "Too many requests"}, headers)

    def _admit(self, asked: Asked) -> object:
        del asked
        return _answer(self._hand_out(f"local-{len(self._tokens) + 1}-{self._place.now}=="))

    def _hand_out(self, token: str) -> dict[str, Any]:
        """Let a token in for a day, and tell where it is taken."""
        self._tokens[token] = self._place.now
        server = {
            "endpoint": f"ws://{self._place.address}/endpoint",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": _PING_MS,
            "pingTimeout": 10_000,
        }
        return {"token": token, "instanceServers": [server]}

    def _market(self, asked: Asked) -> Market:
        found = self._markets.get(asked.query.get("symbol", ""))
        if found is None:
            raise Refusal(400, {"code": "400100", "msg": "This pair is not provided at present"})
        return found

    def _symbols(self, asked: Asked) -> object:
        del asked
        return _answer([_symbol(name, market) for name, market in self._markets.items()])

    def _currencies(self, asked: Asked) -> object:
        del asked
        names = {
            asset
            for each in self._markets.values()
            for asset in (each.instrument.base, each.instrument.quote)
        }
        return _answer(
            [
                {
                    "currency": name,
                    "name": name,
                    "fullName": name,
                    "precision": 8,
                    "confirms": None,
                    "contractAddress": None,
                    "isMarginEnabled": False,
                    "isDebitEnabled": False,
                    "chains": [],
                }
                for name in sorted(names)
            ]
        )

    def _all_tickers(self, asked: Asked) -> object:
        del asked
        rows = [self._day(market) for market in self._markets.values()]
        return _answer({"time": millis(self._place.now), "ticker": rows})

    def _day(self, market: Market) -> dict[str, Any]:
        day, price, size = Day.of(market), market.ticks.text, market.lots.text
        return {
            "time": millis(market.now),
            "symbol": symbol_of(market),
            "symbolName": symbol_of(market),
            "buy": price(day.bid),
            "bestBidSize": size(day.bid_lots),
            "sell": price(day.ask),
            "bestAskSize": size(day.ask_lots),
            "changeRate": f"{day.close / day.open - 1.0 if day.open else 0.0:.4f}",
            "changePrice": format((day.close - day.open) * market.instrument.tick, "f"),
            "high": price(day.high),
            "low": price(day.low),
            "vol": size(day.lots),
            "volValue": day.turnover,
            "last": price(day.close),
            "averagePrice": None,
            "takerFeeRate": "0.001",
            "makerFeeRate": "0.001",
            "takerCoefficient": "1",
            "makerCoefficient": "1",
        }

    def _level1(self, asked: Asked) -> object:
        return _answer(_ticker(self._market(asked)))

    def _level2(self, asked: Asked, depth: int) -> object:
        market = self._market(asked)
        bids, asks = (texts(market, market.book.levels(side, depth)) for side in (BUY, SELL))
        told = {"time": millis(market.now), "sequence": str(market.book.update), "bids": bids, "asks": asks}
        return _answer(told)

    def _histories(self, asked: Asked) -> object:
        """Tell the last hundred trades, newest first: there is no way to ask for older ones."""
        market = self._market(asked)
        rows = [
            {
                "sequence": str(each.id),
                "price": market.ticks.text(each.price),
                "size": market.lots.text(each.lots),
                "side": "buy" if each.buyer_is_taker else "sell",
                "time": each.ts,
            }
            for each in reversed(market.tape.prints(max(0, len(market.tape) - 100)))
        ]
        return _answer(rows)

    def _bars(self, asked: Asked) -> object:
        """Tell up to 1500 bars, newest first; a stretch without trades has none."""
        market, timeframe = self._market(asked), _TIMEFRAME_OF.get(asked.query.get("type", ""))
        if timeframe is None:
            raise Refusal(400, {"code": "400100", "msg": "Incorrect candlestick type."})
        step = timeframe_ns(timeframe)
        try:
            start = asked.whole("startAt", 0) * SECOND_NS
            end = asked.whole("endAt", 0) * SECOND_NS or NEVER
        except ValueError:
            raise Refusal(400, {"code": "400100", "msg": "Parameter error"}) from None
        found = market.candles(step, max(start, min(end, market.now) - (_BARS + 1) * step), end, filled=False)
        return _answer([_row(market, each) for each in reversed(found[-_BARS:])])


def _found(markets: Mapping[str, Market], name: str, detail: str) -> tuple[Market, Channel, int] | None:
    """Return what a topic such as `/market/candles:BTC-USDT_1min` asks for."""
    symbol, _, bar = detail.partition("_")
    market = markets.get(symbol)
    if market is None:
        return None
    id = market.instrument.id
    match name:
        case "/market/match":
            return market, Channel(id, DataKind.TRADES), 0
        case "/market/level2":
            return market, Channel(id, DataKind.BOOK), 0
        case "/spotMarket/level1":
            return market, Channel(id, DataKind.QUOTES), 10 * MS_NS
        case "/market/ticker":
            return market, Channel(id, DataKind.QUOTES), 100 * MS_NS
        case "/market/candles" if bar in _TIMEFRAME_OF:
            return market, Channel(id, DataKind.BARS, _TIMEFRAME_OF[bar]), SECOND_NS
    return None


def _answer(data: object) -> object:
    return {"code": "200000", "data": data}


def _push(line: Line, subject: str, data: object) -> Frame:
    return said({"topic": line.topic, "type": "message", "subject": subject, "data": data})


def _match(market: Market, each: Print) -> dict[str, Any]:
    return {
        "makerOrderId": f"{each.maker.id if each.maker else 0:024x}",
        "price": market.ticks.text(each.price),
        "sequence": str(each.id),
        "side": "buy" if each.buyer_is_taker else "sell",
        "size": market.lots.text(each.lots),
        "symbol": symbol_of(market),
        "takerOrderId": f"{each.taker.id if each.taker else 0:024x}",
        "time": str(each.ts),
        "tradeId": str(each.id),
        "type": "match",
    }


def _changes(line: Line) -> dict[str, Any]:
    market = line.market
    bids, asks = (
        [
            [market.ticks.text(each.price), market.lots.text(each.lots), str(each.update)]
            for each in line.changes
            if each.side == side
        ]
        for side in (BUY, SELL)
    )
    return {
        "changes": {"asks": asks, "bids": bids},
        "sequenceEnd": line.last_update,
        "sequenceStart": line.first_update,
        "symbol": symbol_of(market),
        "time": millis(market.now),
    }


def _best(market: Market) -> dict[str, Any]:
    (bid,), (ask,) = (texts(market, market.book.levels(side, 1)) for side in (BUY, SELL))
    return {"asks": ask, "bids": bid, "timestamp": millis(market.now)}


def _ticker(market: Market) -> dict[str, Any]:
    day, price, size = market.book, market.ticks.text, market.lots.text
    bid, ask = day.best(BUY) or 0, day.best(SELL) or 0
    tape = market.tape
    return {
        "sequence": str(market.book.update),
        "price": price(tape.price[-1] if len(tape) else 0),
        "size": size(tape.lots[-1] if len(tape) else 0),
        "bestBid": price(bid),
        "bestBidSize": size(day.lots_at(BUY, bid)),
        "bestAsk": price(ask),
        "bestAskSize": size(day.lots_at(SELL, ask)),
        "time": millis(market.now),
    }


def _row(market: Market, candle: Candle) -> list[str]:
    price = market.ticks.text
    return [
        str(candle.ts // SECOND_NS),
        *map(price, (candle.open, candle.close, candle.high, candle.low)),
        market.lots.text(candle.lots),
        turnover(market, candle),
    ]


def _candle(market: Market, candle: Candle) -> dict[str, Any]:
    return {"symbol": symbol_of(market), "candles": _row(market, candle), "time": market.now}


def _symbol(name: str, market: Market) -> dict[str, Any]:
    rules = market.rules
    return {
        "symbol": name,
        "name": name,
        "baseCurrency": rules.base,
        "quoteCurrency": rules.quote,
        "feeCurrency": rules.quote,
        "market": "USDS",
        "baseMinSize": format(rules.min_quantity, "f"),
        "quoteMinSize": format(rules.min_notional, "f"),
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": format(rules.lot, "f"),
        "quoteIncrement": "0.000001",
        "priceIncrement": format(rules.tick, "f"),
        "priceLimitRate": "0.1",
        "minFunds": format(rules.min_notional, "f"),
        "isMarginEnabled": False,
        "enableTrading": market.is_listed,
    }
