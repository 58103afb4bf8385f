"""A backtest as one plain loop, written from docs/backtesting-assumptions.md alone; it shares no code with the package.

Long positions on spot, market entries, one stop and one take-profit, fees in quote units. It knows no partial fills: it
refuses data in which an order would be larger than the venue's share of a bar's volume.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from math import floor, isnan, nan

D = Decimal
HOUR = 3_600_000_000_000
TAKER = MAKER = D("0.001")
HALF_SPREAD, IMPACT, SHARE = 0.0001, 0.1, 0.1
UNIT = D("1e-12")
ZERO = D(0)


@dataclass(frozen=True)
class Steps:
    tick: Decimal
    lot: Decimal
    least: Decimal


@dataclass(frozen=True)
class Row:
    ts: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class Wish:
    """What a strategy says at one close; NaN says nothing. Distances are None where there is none."""

    target: float = nan
    stop: Decimal | None = None
    goal: Decimal | None = None
    trailing: Decimal | None = None
    even: Decimal | None = None
    last_bar: int | None = None


@dataclass
class Trip:
    """An open position and what protects it."""

    quantity: Decimal
    entry: Decimal
    wish: Wish
    best: Decimal
    bars: int = 0
    stop: Decimal | None = None
    reason: str = "stop_loss"

    def tighten(self, stop: Decimal, reason: str) -> None:
        if self.stop is None or stop > self.stop:
            self.stop, self.reason = stop, reason

    def measure(self) -> None:
        wish = self.wish
        if wish.stop is not None:
            self.tighten(self.entry - wish.stop, "stop_loss")
        if wish.even is not None and self.best - self.entry >= wish.even:
            self.tighten(self.entry, "break_even")
        if wish.trailing is not None:
            self.tighten(self.best - wish.trailing, "trailing_stop")


@dataclass
class Place:
    """One instrument: its rows, what the strategy says at each, and where we stand in it."""

    name: str
    steps: Steps
    rows: list[Row]
    wishes: list[Wish]
    sizing: str
    amount: float
    allotted: float = 1.0
    trip: Trip | None = None
    entry: Decimal | None = None
    entry_wish: Wish = field(default_factory=Wish)
    leave: str = ""
    last: float | None = None
    close: Decimal = ZERO
    used: Decimal = ZERO


Trade = tuple[int, str, str, Decimal, Decimal, str]


@dataclass
class Market:
    """The loop, with cash that all places share."""

    cash: Decimal
    places: list[Place]
    max_exposure: float = 0.5
    max_asset: float = 0.25
    trades: list[Trade] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def run(self, start: int) -> "Market":
        """Trade from the bar that opens at `start` on; what was before only warms up."""
        moments = sorted({row.ts for place in self.places for row in place.rows if row.ts >= start})
        at = {place.name: {row.ts: n for n, row in enumerate(place.rows)} for place in self.places}
        for ts in moments:
            present = [(place, at[place.name][ts]) for place in self.places if ts in at[place.name]]
            for place, n in present:
                place.used = D(0)
                self.at_open(place, place.rows[n])
            for place, n in present:
                self.inside(place, place.rows[n])
            for place, n in present:
                place.close = D(repr(place.rows[n].close))
            for place, n in present:
                self.protect(place, place.rows[n], place.wishes[n])
                self.decide(place, place.rows[n], place.wishes[n])
        return self

    # --- fills

    def at_open(self, place: Place, row: Row) -> None:
        open_, trip = D(repr(row.open)), place.trip
        if trip is not None:
            stop, goal = self.levels(place, trip)
            if stop is not None and open_ <= stop:
                self.sell(
                    place, row, row.ts, self.taken(place, row, open_, -1, trip.quantity), trip.reason, TAKER
                )
            elif goal is not None and open_ >= goal + place.steps.tick:
                self.sell(place, row, row.ts, goal, "take_profit", MAKER)
            elif place.leave:
                self.sell(
                    place, row, row.ts, self.taken(place, row, open_, -1, trip.quantity), place.leave, TAKER
                )
        if place.entry is not None:
            self.buy(place, row, open_, place.entry)

    def inside(self, place: Place, row: Row) -> None:
        trip = place.trip
        if trip is None:
            return
        stop, goal = self.levels(place, trip)
        if stop is not None and D(repr(row.low)) <= stop:
            reference = min(D(repr(row.open)), stop)
            price = self.taken(place, row, reference, -1, trip.quantity)
            self.sell(place, row, row.ts + HOUR - 1, price, trip.reason, TAKER)
        elif goal is not None and D(repr(row.high)) >= goal + place.steps.tick:
            self.sell(place, row, row.ts + HOUR - 1, goal, "take_profit", MAKER)

    def levels(self, place: Place, trip: Trip) -> tuple[Decimal | None, Decimal | None]:
        """Return the stop and the take-profit on the tick grid, each rounded against us."""
        tick = place.steps.tick
        stop = None if trip.stop is None else (trip.stop / tick).to_integral_value(ROUND_FLOOR) * tick
        goal = None
        if trip.wish.goal is not None:
            goal = ((trip.entry + trip.wish.goal) / tick).to_integral_value(ROUND_CEILING) * tick
        return stop, goal

    def taken(self, place: Place, row: Row, price: Decimal, side: int, quantity: Decimal) -> Decimal:
        """Return a price worsened by half the spread and by our share of the volume, on the grid against us."""
        volume = D(repr(row.volume))
        assert place.used + quantity <= volume * D(repr(SHARE)), "the bar is too thin for this loop"
        part = (place.used + quantity) / volume
        rate = D(repr(HALF_SPREAD)) + D(repr(IMPACT)) * part * part
        rounding = ROUND_CEILING if side > 0 else ROUND_FLOOR
        tick = place.steps.tick
        return (price * (1 + side * rate) / tick).to_integral_value(rounding) * tick

    def buy(self, place: Place, row: Row, open_: Decimal, quantity: Decimal) -> None:
        price = self.taken(place, row, open_, 1, quantity)
        cost = quantity * price
        assert cost + up(cost * TAKER) <= self.cash, "cash ran short at the open"
        self.cash -= up(cost) + up(cost * TAKER)
        place.used += quantity
        place.entry = None
        self.trades.append((row.ts, place.name, "buy", quantity, price, "entry"))
        place.trip = Trip(quantity, price, place.entry_wish, price)
        place.trip.measure()

    def sell(self, place: Place, row: Row, ts: int, price: Decimal, reason: str, rate: Decimal) -> None:
        assert place.trip is not None
        quantity = place.trip.quantity
        self.cash += quantity * price - up(quantity * price * rate)
        place.used += quantity
        self.trades.append((ts, place.name, "sell", quantity, price, reason))
        place.trip, place.leave = None, ""

    # --- the close

    def protect(self, place: Place, row: Row, now: Wish) -> None:
        trip = place.trip
        if trip is None:
            return
        trip.best = max(trip.best, D(repr(row.high)))
        trip.bars += 1
        if trip.wish.trailing is not None and now.trailing is not None:
            old = trip.wish
            trip.wish = Wish(old.target, old.stop, old.goal, now.trailing, old.even, old.last_bar)
        trip.measure()
        if trip.wish.last_bar is not None and trip.bars >= trip.wish.last_bar and not place.leave:
            place.leave = "time"

    def decide(self, place: Place, row: Row, wish: Wish) -> None:
        if isnan(wish.target) or wish.target == place.last:
            return
        first, place.last = place.last is None, wish.target
        if wish.target == 0.0:
            if not first and place.trip is not None and not place.leave:
                place.leave = "signal"
            return
        if place.trip is not None:
            return
        quantity = self.sized(place, row)
        if self.allowed(place, row, quantity):
            place.entry, place.entry_wish = quantity, wish
        else:
            self.refused.append((row.ts + HOUR, place.name))

    def sized(self, place: Place, row: Row) -> Decimal:
        equity = self.equity() * place.allotted
        stake = place.amount if place.sizing == "notional" else place.amount * equity
        value = min(stake, equity, equity / (1 + float(TAKER) + HALF_SPREAD))
        return floor(value / row.close / float(place.steps.lot) * (1 + 1e-12)) * place.steps.lot

    def allowed(self, place: Place, row: Row, quantity: Decimal) -> bool:
        """Say whether minima, exposures (what waits counts as filled) and cash let an entry pass."""
        value = float(quantity) * row.close
        held = {p.name: float(p.trip.quantity * p.close) for p in self.places if p.trip is not None}
        waiting = {p.name: float(p.entry * p.close) for p in self.places if p.entry is not None}
        total = sum(held.values()) + sum(waiting.values()) + value
        equity, slack = self.equity(), 1 + 1e-9
        costs = 1 + float(TAKER) + HALF_SPREAD
        free = float(self.cash) - sum(waiting.values()) * costs
        return (
            value >= float(place.steps.least)
            and total <= self.max_exposure * equity * slack
            and value <= self.max_asset * equity * slack
            and value * costs <= free * slack
        )

    def equity(self) -> float:
        """Return cash and what is held at the last closes."""
        return float(
            self.cash + sum((p.trip.quantity * p.close for p in self.places if p.trip is not None), D(0))
        )


def up(amount: Decimal) -> Decimal:
    return amount.quantize(UNIT, ROUND_CEILING)


# --- indicators, as their definitions say


def ema(values: list[float], period: int) -> list[float]:
    """Weight 2 / (period + 1), seeded by the first value, known from the `period`-th on."""
    found, average = [], values[0]
    for n, value in enumerate(values):
        average += (value - average) * 2 / (period + 1) if n else 0.0
        found.append(average if n >= period - 1 else nan)
    return found


def atr(rows: list[Row], period: int) -> list[float]:
    """Wilder's: the mean of the first `period` true ranges (the first row has none), then smoothed."""
    found, average = [nan], nan
    first: list[float] = []
    for before, row in pairwise(rows):
        width = max(row.high, before.close) - min(row.low, before.close)
        if len(first) < period:
            first.append(width)
            average = sum(first) / period if len(first) == period else nan
        else:
            average = (average * (period - 1) + width) / period
        found.append(average)
    return found


def crossings(fast: list[float], slow: list[float]) -> list[float]:
    found = [nan]
    for n in range(1, len(fast)):
        was, now = fast[n - 1] - slow[n - 1], fast[n] - slow[n]
        known = not (isnan(was) or isnan(now))
        up_, down = known and was <= 0 < now, known and now <= 0 < was
        found.append(1.0 if up_ else 0.0 if down else nan)
    return found


def breakouts(rows: list[Row], entry: int, exit_: int) -> list[float]:
    """1 above the highest high of the `entry` bars before, 0 below the lowest low of the `exit_` bars before."""
    found = []
    for n, row in enumerate(rows):
        above = n >= entry and row.close > max(r.high for r in rows[n - entry : n])
        below = n >= exit_ and row.close < min(r.low for r in rows[n - exit_ : n])
        found.append(1.0 if above else 0.0 if below else nan)
    return found
