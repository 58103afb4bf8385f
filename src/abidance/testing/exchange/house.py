"""What the five venues' houses share: topics that are listened to, ladders that were shown, requests and refusals.

A house speaks one venue's language from the venue's side: it reads requests and writes answers and pushes. It opens
no socket, keeps no time and matches nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from abidance.model.instrument import MS_NS, SECOND_NS
from abidance.testing.exchange.core import BUY, SELL, Book, Change, Print
from abidance.testing.exchange.desk import Desk, News
from abidance.testing.exchange.market import Market
from abidance.testing.exchange.tape import Candle, bar_open
from abidance.venues.dialect import Channel, Frame
from abidance.venues.net.limits import Request, Window

DAY_NS = 86_400 * SECOND_NS
Levels = list[tuple[int, int]]


@dataclass(frozen=True)
class Asked:
    """One REST request."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw_query: str = ""
    """The query as it came, for signatures are over that."""
    remote: str = "127.0.0.1"
    """The address from which it came."""

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a parameter as a whole number. Raises ValueError when it is none, or missing without a default."""
        text = self.query.get(name, "")
        if not text and default is not None:
            return default
        return int(text)


class Refusal(Exception):  # noqa: N818 (an answer, not a mistake)
    """The venue's way to say no: a status and a body."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Place(Protocol):
    """Where a house stands: its time, the desk of its accounts, and the address under which clients reach it."""

    now: int
    desk: Desk

    @property
    def address(self) -> str:
        """Return host and port."""
        ...

    def at(self, ts: int, work: Callable[[], None]) -> None:
        """Let something be done at a time, ns UTC."""
        ...


class Listener(Protocol):
    """One connection as a house sees it: `path` is where it came in, `topics` what it listens to."""

    path: str
    number: int
    topics: set[str]
    is_over: bool

    def push(self, topic: str, frame: Frame) -> None:
        """Send a frame of a topic to this listener alone."""
        ...

    def say(self, frame: Frame) -> None:
        """Send a frame to this listener alone."""
        ...

    def listen(self, topic: str, market: Market, channel: Channel, every: int = 0) -> None:
        """Push a topic to it from now on: changes at once, or gathered over `every` ns."""
        ...

    def leave(self, topic: str) -> bool:
        """Push a topic no longer; False when it was not listened to."""
        ...


class Shown:
    """The best levels of both sides as listeners have been told them."""

    def __init__(self) -> None:
        self._sides: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}

    def whole(self, book: Book, depth: int) -> tuple[Levels, Levels]:
        """Return the best levels and remember that they were told."""
        bids, asks = book.levels(BUY, depth), book.levels(SELL, depth)
        self._sides = {BUY: dict(bids), SELL: dict(asks)}
        return bids, asks

    def changes(self, book: Book, depth: int, *, tell_pushed_out: bool) -> tuple[Levels, Levels]:
        """Return what changed since: 0 lots for a level that is gone.

        A level that others pushed out of the best `depth` is told as gone only with `tell_pushed_out`.
        """
        bids, asks = (self._side(book, side, depth, tell_pushed_out) for side in (BUY, SELL))
        return bids, asks

    def _side(self, book: Book, side: int, depth: int, tell_pushed_out: bool) -> Levels:
        before, now = self._sides[side], dict(book.levels(side, depth))
        gone = [
            (price, 0)
            for price in before
            if price not in now and (tell_pushed_out or not book.lots_at(side, price))
        ]
        told = gone + [(price, lots) for price, lots in now.items() if before.get(price) != lots]
        self._sides[side] = now
        return told


class Line:
    """One topic, shared by all who listen to it, with what happened since it was last told."""

    def __init__(self, topic: str, market: Market, channel: Channel, every: int) -> None:
        self.topic = topic
        self.market = market
        self.channel = channel
        self.every = every
        self.listeners: list[Listener] = []
        self.prints: list[Print] = []
        self.levels: dict[tuple[int, int], int] = {}
        self.changes: list[Change] = []
        self.first_update = self.last_update = market.book.update
        self.told_update = market.book.update
        self.number = 0
        self.shown = Shown()
        self.top: tuple[int, ...] = ()
        self.bar_ts = -1
        self.is_dirty = False

    def note_print(self, found: Print) -> None:
        """Take in a trade."""
        self.prints.append(found)
        self.is_dirty = True

    def note_change(self, found: Change) -> None:
        """Take in a change of the ladder."""
        if not self.changes:
            self.first_update = found.update
        self.changes.append(found)
        self.levels[found.side, found.price] = found.lots
        self.last_update = found.update
        self.is_dirty = True

    def settle(self) -> None:
        """Forget what has been told."""
        self.prints.clear()
        self.levels.clear()
        self.changes.clear()
        self.is_dirty = False

    def merged(self) -> tuple[Levels, Levels]:
        """Return the levels that changed, each once with its newest lots: bids, asks."""
        bids = [(price, lots) for (side, price), lots in self.levels.items() if side == BUY]
        asks = [(price, lots) for (side, price), lots in self.levels.items() if side == SELL]
        return bids, asks

    def moved_top(self) -> tuple[int, int, int, int] | None:
        """Return best bid, its lots, best ask, its lots if that is news and neither side is empty."""
        book = self.market.book
        bid, ask = book.best(BUY), book.best(SELL)
        if bid is None or ask is None:
            return None
        top = (bid, book.lots_at(BUY, bid), ask, book.lots_at(SELL, ask))
        if top == self.top:
            return None
        self.top = top
        return top

    def bars(self, step: int, *, filled: bool) -> list[tuple[Candle, bool]]:
        """Return the bars to tell now with whether each is closed: those that ended, and the one that is forming."""
        now = self.market.now
        forming = bar_open(now, step)
        if self.bar_ts < 0:
            self.bar_ts = forming
        found = self.market.candles(step, self.bar_ts, now + 1, filled=filled)
        self.bar_ts = forming
        return [(candle, candle.ts < forming) for candle in found]


class House(Protocol):
    """One venue from its own side. `lifetime` is after how many ns it ends a connection, 0 for never."""

    venue: str
    lifetime: int
    has_perpetuals: bool

    def __init__(self, markets: Sequence[Market], place: Place) -> None:
        """Open the house with its markets."""
        ...

    @property
    def routes(self) -> Mapping[str, Callable[[Asked], object]]:
        """Return what answers `GET /path`; a handler returns what becomes JSON, or raises `Refusal`."""
        ...

    def asks(self, asked: Asked) -> bool:
        """Say whether a request only asks, so that a copy which lags may answer it."""
        return asked.method == "GET"

    def accepts(self, path: str) -> bool:
        """Say whether a stream may be opened at a path."""
        ...

    def welcome(self, listener: Listener) -> None:
        """Greet a new connection."""
        ...

    def heartbeat(self) -> Sequence[Frame]:
        """Return what every connection hears each second, where the venue has such a thing."""
        return ()

    def hear(self, listener: Listener, frame: Frame) -> None:
        """Answer what a connection says."""
        ...

    def told(self, news: News) -> None:  # noqa: ARG002 (where there are no accounts)
        """Tell an account's own streams what happened to it."""
        return

    def greeting(self, line: Line) -> Sequence[Frame]:
        """Return what a new listener of a topic is told first."""
        ...

    def frames(self, line: Line) -> Sequence[Frame]:
        """Return what all listeners of a topic are told now."""
        ...

    def farewell(self) -> Sequence[Frame]:
        """Return what is said before a planned end of a connection."""
        ...

    def crowded(self, seconds: int, *, is_ban: bool) -> Refusal:
        """Return the refusal of one request too many; after `seconds` the client may ask again."""
        ...

    def counted(self, asked: Asked) -> Request:
        """Return a request as the venue counts it."""
        return counted(asked)

    def full(self, window: Window, seconds: int) -> Refusal:  # noqa: ARG002 (where it has words of its own)
        """Return the refusal of one order too many; after `seconds` a window has room for one."""
        return self.crowded(seconds, is_ban=False)


def counted(asked: Asked) -> Request:
    """Return a request as limits see it, by what it says in its query and its body."""
    text = asked.body.decode("utf-8", "replace")
    said = read(text) if text.startswith("{") else dict(parse_qsl(text))
    return Request(asked.method, asked.path, {**asked.query, **said})


def millis(ts: int) -> int:
    """Return ns as ms."""
    return ts // MS_NS


def said(message: object) -> str:
    """Write a text frame."""
    return msgspec.json.encode(message).decode()


def read(frame: Frame) -> dict[str, Any]:
    """Return what a client said, an empty dict when it is no JSON object."""
    try:
        found = msgspec.json.decode(frame)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def word(asked: Mapping[str, Any], name: str) -> str:
    """Return a text that a client said under a name, the empty one when it said something else."""
    found = asked.get(name)
    return found if isinstance(found, str) else ""


def texts(market: Market, levels: Levels) -> list[list[str]]:
    """Return levels as pairs of texts."""
    price, size = market.ticks.text, market.lots.text
    return [[price(ticks), size(lots)] for ticks, lots in levels]


def turnover(market: Market, candle: Candle) -> str:
    """Return what was paid in a bar, in quote units."""
    unit = market.instrument.tick * market.instrument.lot
    return format(candle.turnover * unit, "f")


@dataclass(frozen=True)
class Day:
    """The last 24 hours of a market, as tickers tell it."""

    open: int
    high: int
    low: int
    close: int
    lots: int
    turnover: str
    start: int
    count: int
    first_id: int
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int
    last_lots: int

    @staticmethod
    def of(market: Market) -> "Day":
        """Sum up a market's day; a market without a trade has zeros."""
        tape, book = market.tape, market.book
        start = market.now - DAY_NS
        first = tape.find(start)
        prices, lots = tape.price[first:], tape.lots[first:]
        unit = market.instrument.tick * market.instrument.lot
        paid = sum(price * size for price, size in zip(prices, lots, strict=True))
        bid, ask = book.best(BUY) or 0, book.best(SELL) or 0
        last = tape.price[-1] if len(tape) else 0
        return Day(
            open=prices[0] if prices else last,
            high=max(prices, default=last),
            low=min(prices, default=last),
            close=last,
            lots=sum(lots),
            turnover=format(paid * unit, "f"),
            start=start,
            count=len(prices),
            first_id=tape.first_id + first,
            bid=bid,
            bid_lots=book.lots_at(BUY, bid) if bid else 0,
            ask=ask,
            ask_lots=book.lots_at(SELL, ask) if ask else 0,
            last_lots=tape.lots[-1] if len(tape) else 0,
        )
