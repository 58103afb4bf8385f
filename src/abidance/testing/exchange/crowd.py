"""Who trades on the local exchange: a crowd around a fair price, or a player of recorded trades and bars.

Everything is decided by seeds and recordings: the same ones trade the same.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import count
from random import Random
from typing import Protocol

import numpy as np

from abidance.model.errors import UsageError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument, timeframe_ns
from abidance.model.market import Bar, Trade
from abidance.testing.exchange.core import BUY, SELL, Book, Force, Print
from abidance.testing.exchange.market import NEVER, Steps

_DAY_S = 86_400.0
_MAKER, _TAKER = "maker", "taker"
_WIDTH = 0.0004
_HALF = 0.00002
_NOTIONAL = 800.0
_ONE = Decimal(1)


class Path(Protocol):
    """The fair price over time; `price` is asked for ever later moments."""

    def price(self, ts: int) -> float:
        """Return the fair price at `ts` (ns UTC)."""
        ...


class Walk:
    """A random walk; `volatility` is the standard deviation of a day's logarithmic return."""

    def __init__(self, seed: int | str, begin: float, volatility: float = 0.03) -> None:
        self._random = Random(f"walk:{seed}")
        self._begin = begin
        self._shift = 0.0
        self._sigma = volatility / math.sqrt(_DAY_S)
        self._ts = 0

    def jump(self, share: float) -> None:
        """Let the price be another by so much of itself from now on."""
        self._shift += math.log1p(share)

    def price(self, ts: int) -> float:
        """Return the fair price at `ts`; it stays between a tenth and ten times of where it began."""
        seconds = (ts - self._ts) / SECOND_NS if self._ts else 0.0
        self._ts = ts
        self._shift += self._sigma * math.sqrt(max(seconds, 0.0)) * self._random.gauss(0.0, 1.0)
        self._shift = min(max(self._shift, -2.3), 2.3)
        return self._begin * math.exp(self._shift)


class BarPath:
    """The course of recorded bars, each played in `step` ns from `begin` on; at their end they begin again.

    A bar goes from its open over the extreme that is nearer to it in direction to the other one, and to its close.
    """

    def __init__(self, bars: Sequence[Bar], begin: int, step: int) -> None:
        if not bars:
            raise UsageError("There is no bar to play.", "Give at least one.")
        self._bars = bars
        self._begin = begin
        self._step = step

    def price(self, ts: int) -> float:
        """Return the fair price at `ts`."""
        place, rest = divmod(max(0, ts - self._begin), self._step)
        bar = self._bars[place % len(self._bars)]
        course = _course(bar)
        leg, part = divmod(rest * 3 / self._step, 1.0)
        start, end = course[int(leg)], course[int(leg) + 1]
        return start + (end - start) * part


class Crowd:
    """Market makers around a fair price, takers who cross the spread, and those who bring the book back to the price.

    `pace` is how often somebody acts, per second; `orders` is about how many orders rest.
    """

    def __init__(self, path: Path, seed: int | str, pace: float = 20.0, orders: int = 160) -> None:
        self.next_ts = NEVER
        self._path = path
        self._random = Random(f"crowd:{seed}")
        self._pace = pace
        self._orders = orders
        self._open: list[int] = []
        self._clock = 0.0
        self._ticks = self._lots = Steps(_ONE)
        self._start = 0

    def begin(self, ts: int, book: Book, instrument: Instrument, last: int) -> None:  # noqa: ARG002
        """Put up the ladder; the first to act comes a moment later."""
        self._ticks, self._lots = Steps(instrument.tick), Steps(instrument.lot)
        self._start = ts
        fair = self._fair(ts)
        for at in range(self._orders):
            self._place(ts, book, fair, BUY if at % 2 else SELL)
        self._wait()

    def act(self, book: Book) -> None:
        """Bring the book back to the price if it is off, and place, cancel or take."""
        ts, roll = self.next_ts, self._random.random()
        fair = self._fair(ts)
        self._correct(ts, book, fair)
        if roll < 0.12:
            side = BUY if self._random.random() < 0.5 else SELL
            book.submit(ts, _TAKER, side, self._size(fair), force=Force.IOC)
        elif roll < 0.12 + 0.44 * len(self._open) / self._orders:
            self._cancel(book)
        else:
            self._place(ts, book, fair, BUY if self._random.random() < 0.5 else SELL)
        self._wait()

    def _fair(self, ts: int) -> float:
        ticks = self._path.price(ts) / self._ticks.value(1)
        return max(ticks, 10.0)

    def _wait(self) -> None:
        """Set when the next one acts, on the grid of milliseconds that venues tell time in."""
        self._clock += self._random.expovariate(self._pace)
        self.next_ts = self._start + int(self._clock * 1000) * MS_NS

    def _correct(self, ts: int, book: Book, fair: float) -> None:
        """Take whatever rests on the wrong side of the fair price."""
        for side in (BUY, SELL):
            best = book.best(-side)
            if best is not None and (fair - best) * side > 0:
                limit = int(fair) if side is BUY else math.ceil(fair)
                lots = book.available(side, limit)
                if lots:
                    book.submit(ts, _TAKER, side, lots, limit, Force.IOC)

    def _place(self, ts: int, book: Book, fair: float, side: int) -> None:
        away = max(1.0, fair * _HALF) + self._random.expovariate(1.0 / max(2.0, fair * _WIDTH))
        price = max(1, round(fair - side * away))
        found = book.submit(ts, _MAKER, side, self._size(fair), price, Force.POST)
        if not found.refusal:
            self._open.append(found.order.id)

    def _cancel(self, book: Book) -> None:
        """Cancel a resting order by chance; those that traded meanwhile are forgotten on the way."""
        known = self._open
        while known:
            at = self._random.randrange(len(known))
            known[at], known[-1] = known[-1], known[at]
            if book.cancel(known.pop()) is not None:
                return

    def _size(self, fair: float) -> int:
        notional = _NOTIONAL * self._random.lognormvariate(0.0, 1.0)
        return max(1, self._lots.count(notional / (fair * self._ticks.value(1))))


class Player:
    """Play recorded trades: each is printed at its very price, size, side and time, within a ladder of quotes."""

    def __init__(self, trades: Iterable[Trade], levels: int = 10) -> None:
        self.next_ts = NEVER
        self._trades = iter(trades)
        self._next: Trade | None = None
        self._levels = levels
        self._quotes: dict[int, list[int]] = {BUY: [], SELL: []}
        self._ticks = self._lots = Steps(_ONE)

    def begin(self, ts: int, book: Book, instrument: Instrument, last: int) -> None:
        """Quote around the last price; trades from before the start are passed over."""
        self._ticks, self._lots = Steps(instrument.tick), Steps(instrument.lot)
        self._turn()
        while self.next_ts < ts:
            self._turn()
        around = last or (self._ticks.count(self._next.price) if self._next else 0)
        if around:
            self._quote(ts, book, around)

    def act(self, book: Book) -> None:
        """Print the next trade."""
        trade, ts = self._next, self.next_ts
        assert trade is not None
        price, lots = self._ticks.count(trade.price), self._lots.count(trade.size)
        side = BUY if trade.buyer_is_taker else SELL
        self._step_aside(book, price)
        if price > 0 and lots > 0:
            maker = book.submit(ts, _MAKER, -side, lots, price).order
            book.submit(ts, _TAKER, side, lots, price, Force.IOC)
            # Nothing is left of it unless somebody else's order was in the way.
            book.cancel(maker.id)
            self._quote(ts, book, price)
        self._turn()

    def _turn(self) -> None:
        self._next = next(self._trades, None)
        self.next_ts = self._next.ts if self._next else NEVER

    def _step_aside(self, book: Book, price: int) -> None:
        """Cancel the quotes that the next trade would meet."""
        for side, quotes in self._quotes.items():
            kept = []
            for id in quotes:
                order = book.orders.get(id)
                if order is None or order.price is None:
                    continue
                if (price - order.price) * side <= 0:
                    book.cancel(id)
                else:
                    kept.append(id)
            self._quotes[side] = kept

    def _quote(self, ts: int, book: Book, price: int) -> None:
        """Fill the ladder up on both sides of a price, and take back what is too far away."""
        for side, quotes in self._quotes.items():
            wanted = [price - side * (1 + at) for at in range(self._levels)]
            kept = []
            for id in quotes:
                if book.orders[id].price in wanted:
                    kept.append(id)
                else:
                    book.cancel(id)
            there = {book.orders[id].price for id in kept}
            for at, level in enumerate(wanted):
                if level > 0 and level not in there:
                    lots = (1 + at) * max(1, self._lots.count(_NOTIONAL / (price * self._ticks.value(1))))
                    kept.append(book.submit(ts, _MAKER, side, lots, level, Force.POST).order.id)
            self._quotes[side] = kept


def trades_of(bars: Sequence[Bar], instrument: Instrument, begin: int, step: int) -> Iterator[Trade]:
    """Yield four trades a bar, played in `step` ns each from `begin` on, that make up the very same bars again.

    Prices are rounded to ticks and volumes to lots. A bar without volume has no trade; a missing bar stays missing.
    """
    ticks, lots = Steps(instrument.tick), Steps(instrument.lot)
    numbers = count(1)
    for bar in bars:
        opened = begin + (bar.ts - bars[0].ts) // timeframe_ns(bar.timeframe) * step
        before = ticks.count(bar.open)
        for leg, (price, share) in enumerate(
            zip(_course(bar), _quarters(lots.count(bar.volume)), strict=True)
        ):
            if not share:
                continue
            here = ticks.count(price)
            ts = opened + (step * leg // 4) // MS_NS * MS_NS
            size = lots.value(share)
            yield Trade(ts, instrument.id, ticks.value(here), size, here >= before, str(next(numbers)))
            before = here


def _quarters(total: int) -> list[int]:
    """Return a volume in four parts, of which none is empty unless it is empty itself."""
    if 0 < total < 4:
        return [1] * 4
    return [total // 4] * 3 + [total - total // 4 * 3]


def generated_past(
    instrument: Instrument, price: float, end: int, seconds: int, seed: int, pace: float = 0.5
) -> list[Print]:
    """Return the prints of the time before `end` (ns UTC) as chance would have them, ending at `price`.

    `pace` is the number of prints per second.
    """
    draw = np.random.default_rng([seed, *instrument.id.encode()])
    size = int(seconds * pace)
    if size <= 0:
        return []
    ticks, lots = Steps(instrument.tick), Steps(instrument.lot)
    ts = np.sort(draw.integers(0, seconds * 1000, size))
    moves = draw.normal(0.0, 0.03 / math.sqrt(_DAY_S * pace), size)
    course = np.exp(np.cumsum(moves) - moves.sum()) * price
    sizes = np.exp(draw.normal(0.0, 1.0, size)) * _NOTIONAL / course
    buys = draw.random(size) < np.where(moves > 0, 0.7, 0.3)
    begin = end - seconds * SECOND_NS
    rows = zip(ts.tolist(), course.tolist(), sizes.tolist(), buys.tolist(), strict=True)
    return [
        Print(id, begin + when * MS_NS, max(1, ticks.count(at)), max(1, lots.count(much)), buy)
        for id, (when, at, much, buy) in enumerate(rows, 1)
    ]


def recorded_past(trades: Iterable[Trade], instrument: Instrument) -> Iterator[Print]:
    """Yield recorded trades as prints, numbered anew."""
    ticks, lots = Steps(instrument.tick), Steps(instrument.lot)
    for id, trade in enumerate(trades, 1):
        size = max(1, lots.count(trade.size))
        yield Print(id, trade.ts, ticks.count(trade.price), size, trade.buyer_is_taker)


def _course(bar: Bar) -> tuple[float, float, float, float]:
    """Return the four prices of a bar in the order in which they are played."""
    if bar.close >= bar.open:
        return bar.open, bar.low, bar.high, bar.close
    return bar.open, bar.high, bar.low, bar.close
