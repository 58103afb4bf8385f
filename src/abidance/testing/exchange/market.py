"""One instrument of the local exchange: its book, its tape, who trades on it, and the truth about all of it.

Time comes from outside: `advance` lets the participants act up to a moment. Numbers inside are whole ticks and lots;
the accessors for tests speak the model's own words.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import NamedTuple, Protocol

import msgspec

from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, timeframe_ns
from abidance.model.market import Bar, BookSnapshot, FundingRate, Quote, Trade
from abidance.testing.exchange.core import BUY, SELL, Book, Change, Print
from abidance.testing.exchange.tape import Candle, Tape

NEVER = 2**62
FUNDING_NS = 8 * 3600 * 1_000_000_000
_KNOWN_TEXTS = 65_536


class Participant(Protocol):
    """Someone who trades: deterministic, and the market asks when it wants to act next."""

    next_ts: int
    """When it acts next, ns UTC; `NEVER` when it is done."""

    def begin(self, ts: int, book: Book, instrument: Instrument, last: int) -> None:
        """Take place at the start: `last` is the last traded price in ticks, 0 without one."""
        ...

    def act(self, book: Book) -> None:
        """Do what is due at `next_ts` and set the next time."""
        ...


class Steps:
    """Whole steps as decimal text, and decimal text as the float that clients read."""

    def __init__(self, step: Decimal) -> None:
        self.decimals = max(0, -int(step.normalize().as_tuple().exponent))
        self._scale: int = 10**self.decimals
        self._units = int(step * self._scale)
        self._texts: dict[int, str] = {}

    def text(self, steps: int) -> str:
        """Return steps as text with all decimals of the step."""
        found = self._texts.get(steps)
        if found is None:
            if len(self._texts) >= _KNOWN_TEXTS:
                self._texts.clear()
            whole, part = divmod(steps * self._units, self._scale)
            found = f"{whole}.{part:0{self.decimals}d}" if self.decimals else str(whole)
            self._texts[steps] = found
        return found

    def value(self, steps: int) -> float:
        """Return the float nearest to so many steps, which is what their text reads as."""
        return steps * self._units / self._scale

    def count(self, value: float) -> int:
        """Return how many steps a value is, rounded."""
        return round(value * self._scale / self._units)


class Mark(NamedTuple):
    """What a perpetual is marked at, in ticks, and the funding rate that falls due at `ts_funding`."""

    price: int
    index_price: int
    rate: float
    ts_funding: int


class Market:
    """One instrument with its participants.

    `past` are prints from before the start: they fill the tape and pass through no book. `seed` decides funding rates.
    """

    def __init__(
        self,
        instrument: Instrument,
        participants: Sequence[Participant],
        past: Iterable[Print] = (),
        seed: int = 0,
    ) -> None:
        self.instrument = instrument
        self.rules = instrument
        """What is demanded of orders now. Numbers inside stay in the steps of `instrument`."""
        self.is_listed = True
        """Whether orders are taken, as its list of instruments says; others trade on, which no venue would let them."""
        self.ticks = Steps(instrument.tick)
        self.lots = Steps(instrument.lot)
        self.tape = Tape()
        self.now = 0
        self.on_change: Callable[[Change], None] | None = None
        self.on_print: Callable[[Print], None] | None = None
        self._participants = participants
        self._seed = f"{seed}:{instrument.id}"
        self._rates: dict[int, float] = {}
        for found in past:
            self.tape.add(found)
        after = self.tape.first_id + len(self.tape)
        first_update = Random(self._seed).randrange(10**6, 10**9)
        self.book = Book(first_update, after)
        self.book.on_print = self._printed
        self.book.on_change = self._changed

    @property
    def next_ts(self) -> int:
        """Return when somebody acts next."""
        return min((each.next_ts for each in self._participants), default=NEVER)

    def begin(self, ts: int) -> None:
        """Open the market at `ts` (ns UTC). Raises UsageError when its past reaches beyond that."""
        if len(self.tape) and self.tape.ts[-1] > ts:
            raise UsageError(
                f"The past of {self.instrument.id} reaches beyond the start.", "Begin later, or leave it out."
            )
        self.now = ts
        last = self.tape.price[-1] if len(self.tape) else 0
        for each in self._participants:
            each.begin(ts, self.book, self.instrument, last)

    def act(self) -> None:
        """Let the participant act whose turn it is."""
        who = min(self._participants, key=lambda each: each.next_ts)
        self.now = who.next_ts
        who.act(self.book)

    def advance(self, until: int) -> None:
        """Let the participants act up to and including `until`."""
        while self.next_ts <= until:
            self.act()
        self.now = max(self.now, until)

    def candles(self, step: int, start: int, end: int, *, filled: bool) -> list[Candle]:
        """Return bars up to now as the venue counts them, in ticks and lots."""
        return self.tape.candles(step, start, min(end, self.now + 1), filled=filled)

    def mark(self) -> Mark:
        """Return the mark: the middle of the book, else the last price."""
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        last = self.tape.price[-1] if len(self.tape) else 0
        price = (bid + ask) // 2 if bid and ask else last
        due = self.now // FUNDING_NS + 1
        return Mark(price, price, self._rate(due), due * FUNDING_NS)

    def fundings(self) -> list[tuple[int, float, int]]:
        """Return (due time, rate, mark in ticks) of every funding since the tape began, oldest first."""
        if not len(self.tape):
            return []
        first, last = self.tape.ts[0] // FUNDING_NS + 1, self.now // FUNDING_NS
        return [
            (k * FUNDING_NS, self._rate(k), self.tape.price[max(0, self.tape.find(k * FUNDING_NS) - 1)])
            for k in range(first, last + 1)
        ]

    def change_filters(
        self,
        *,
        tick: Decimal | None = None,
        lot: Decimal | None = None,
        min_quantity: Decimal | None = None,
        min_notional: Decimal | None = None,
    ) -> None:
        """Let other steps and least sizes be in force from now on, as a venue may at any time.

        What stands stays. Raises UsageError for steps that are no multiple of the first ones.
        """
        steps = ((tick, self.instrument.tick), (lot, self.instrument.lot))
        if any(now is not None and (now <= 0 or now % first) for now, first in steps):
            raise UsageError(
                f"{self.instrument.id} began with steps of {self.instrument.tick} and {self.instrument.lot}.",
                "Make them coarser by a whole number, or begin with finer ones.",
            )
        given = {"tick": tick, "lot": lot, "min_quantity": min_quantity, "min_notional": min_notional}
        changed = {name: value for name, value in given.items() if value is not None}
        self.rules = msgspec.structs.replace(self.rules, **changed)

    def breach(self, lots: int, price: int, given: Iterable[int | None], *, reduces: bool) -> str:
        """Return which rule an order of so many lots, about at `price`, breaks: least, lot, tick, notional, or none.

        `given` are the prices that it names; prices are in ticks.
        """
        rules, own = self.rules, self.instrument
        quantity = lots * own.lot
        if lots <= 0 or quantity < rules.min_quantity:
            return "least"
        if quantity % rules.lot:
            return "lot"
        if price <= 0 or any(each is not None and each * own.tick % rules.tick for each in given):
            return "tick"
        return "notional" if price * own.tick * quantity < rules.min_notional and not reduces else ""

    # The truth, for tests.

    def trades(self, start: int = 0, end: int = NEVER) -> list[Trade]:
        """Return what traded from `start` up to, not including, `end`, oldest first."""
        tape = self.tape
        return [
            Trade(
                each.ts,
                self.instrument.id,
                self.ticks.value(each.price),
                self.lots.value(each.lots),
                each.buyer_is_taker,
                str(each.id),
            )
            for each in tape.prints(tape.find(start), tape.find(end))
        ]

    def ladder(self, depth: int = 0) -> BookSnapshot:
        """Return the book as it stands, best first; 0 means all levels."""
        bids, asks = (
            tuple(
                (self.ticks.value(price), self.lots.value(lots))
                for price, lots in self.book.levels(side, depth)
            )
            for side in (BUY, SELL)
        )
        return BookSnapshot(self.now, self.instrument.id, bids, asks)

    def quote(self) -> Quote | None:
        """Return the best bid and ask, None while a side is empty."""
        top = self.ladder(1)
        if not top.bids or not top.asks:
            return None
        return Quote(self.now, self.instrument.id, *top.bids[0], *top.asks[0])

    def bars(self, timeframe: str, start: int = 0, end: int = NEVER, *, filled: bool = False) -> list[Bar]:
        """Return the bars that follow from the trades; the last may still be forming.

        With `filled` a stretch without trades has flat bars of no volume.
        """
        found = self.candles(timeframe_ns(timeframe), start, end, filled=filled)
        return [self.bar(timeframe, each) for each in found]

    def bar(self, timeframe: str, candle: Candle) -> Bar:
        """Return a candle in the model's words."""
        price = self.ticks.value
        return Bar(
            self.instrument.id,
            timeframe,
            candle.ts,
            price(candle.open),
            price(candle.high),
            price(candle.low),
            price(candle.close),
            self.lots.value(candle.lots),
        )

    def funding(self) -> list[FundingRate]:
        """Return every funding since the tape began."""
        return [
            FundingRate(ts, self.instrument.id, rate, self.ticks.value(mark))
            for ts, rate, mark in self.fundings()
        ]

    def _rate(self, number: int) -> float:
        if number not in self._rates:  # asked for with each mark
            self._rates[number] = round(Random(f"{self._seed}:{number}").gauss(0.0001, 0.00005), 8)
        return self._rates[number]

    def _printed(self, found: Print) -> None:
        self.tape.add(found)
        if self.on_print is not None:
            self.on_print(found)

    def _changed(self, found: Change) -> None:
        if self.on_change is not None:
            self.on_change(found)


def worth_in(markets: Mapping[str, Market], asset: str) -> Decimal:
    """Return what one unit of an asset is worth by the last price, in the quote asset; 0 where nobody knows."""
    for market in markets.values():
        rules, tape = market.instrument, market.tape
        if asset == rules.quote:
            return Decimal(1)
        if asset == rules.base and len(tape):
            return tape.price[-1] * rules.tick
    return Decimal(0)
