"""Ticks that nobody can notice are really passed over, and whatever can notice one stops that: counted, not timed."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from abidance.engine.pump import Pump
from abidance.kernel.ids import OrderIds
from abidance.kernel.ports import Feed
from abidance.market.feed import BarReplay, BookReplay, QuoteReplay, TradeReplay, merge
from abidance.market.feed.stream import TickStream
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import TimerRequest
from abidance.model.market import Bar, BookSnapshot, Quote, Trade
from abidance.model.order import Fill, OrderRequest, OrderType, Purpose, Side
from abidance.run.setup import assemble
from abidance.strategy.base import EventStrategy, Intents, View
from tests.unit.engine.rig import LOOSE, PERP, SPOT, START, bars_of, flat, material_of

TICKS, BARS = 30_000, 50
"""Ticks of each lane, ten a second, and bars of a minute over the same time."""
FEW = TICKS // 50
TS = START + np.arange(1, TICKS + 1) * (SECOND_NS // 10)
PRICES = np.round(100 + np.sin(np.arange(TICKS) / 500), 1)
HIT = 17_777
PRICES[HIT] = 90.0
SIZES = np.ones(TICKS)


class Quiet(EventStrategy):
    """Counts the bars that it hears, and what was the price then."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self.seen: list[tuple[int, float | None]] = []
        self.fills: list[Fill] = []
        self.taken: list[int] = []

    def on_bar(self, bar: Bar, view: View) -> Intents:
        self.heard["bar"] += 1
        return None

    def on_fill(self, fill: Fill, view: View) -> Intents:
        self.fills.append(fill)
        return None


class Timed(Quiet):
    """Looks at the price every 77 seconds."""

    def on_start(self, view: View) -> Intents:
        return [TimerRequest(self.name, "look", START + 77 * SECOND_NS)]

    def on_timer(self, timer: Any, view: View) -> Intents:
        self.seen.append((timer.ts, view.price(SPOT.id)))
        return [TimerRequest(self.name, "look", timer.ts + 77 * SECOND_NS)]


class Waiting(Quiet):
    """Lets a purchase wait at a price that one trade alone falls to."""

    def on_bar(self, bar: Bar, view: View) -> Intents:
        super().on_bar(bar, view)
        if self.heard["bar"] != 1 or bar.instrument != SPOT.id:
            return None
        return [
            OrderRequest(
                strategy=self.name,
                instrument=SPOT.id,
                side=Side.BUY,
                quantity=Decimal(1),
                type=OrderType.LIMIT,
                price=Decimal(95),
                purpose=Purpose.ENTRY,
            )
        ]


class HearsTrades(Quiet):
    def on_trade(self, trade: Trade, view: View) -> Intents:
        self.heard[trade.instrument] += 1
        return None


class HearsQuotes(Quiet):
    def on_quote(self, quote: Quote, view: View) -> Intents:
        self.heard[quote.instrument] += 1
        return None


class HearsBooks(Quiet):
    def on_book(self, book: BookSnapshot, view: View) -> Intents:
        self.heard[book.instrument] += 1
        return None


def lanes() -> list[Feed]:
    """Return trades, quotes and books of one instrument, trades of another, and bars of both."""
    trades: dict[str, Any] = {"ts_ns": TS, "price": PRICES, "size": SIZES, "side": ["buy"] * TICKS}
    quotes: dict[str, Any] = {
        "ts_ns": TS + 1, "bid": PRICES - 0.1, "bid_size": SIZES, "ask": PRICES + 0.1, "ask_size": SIZES,
    }  # fmt: skip
    books: dict[str, list[Any]] = {"ts_ns": [], "side": [], "price": [], "size": [], "is_snapshot": []}
    for ts, price in zip((TS + 2).tolist(), PRICES.tolist(), strict=True):
        for side, level in (("bid", round(price - 0.1, 1)), ("ask", round(price + 0.1, 1))):
            for name, value in zip(books, (ts, side, level, 1.0, True), strict=True):
                books[name].append(value)
    rows = flat(*np.full(BARS, 100.0).tolist())
    return [
        TradeReplay(SPOT.id, trades),
        QuoteReplay(SPOT.id, quotes),
        BookReplay(SPOT.id, books, 3),
        TradeReplay(PERP.id, trades),
        BarReplay([bars_of(each.id, rows, "1m", 60 * SECOND_NS) for each in (SPOT, PERP)]),
    ]


def taken_by(strategy: Quiet) -> Counter[tuple[type, str]]:
    """Replay the lanes; return how many ticks of which kind and instrument were made and taken one by one."""
    material = material_of(
        {"one": strategy},
        {each: bars_of(each.id, flat(100), "1m") for each in (SPOT, PERP)},
        risk=LOOSE,
        timeframe="1m",
        dry_run_wallet=10_000.0,
    )
    drive = {SPOT.id: "trade", PERP.id: "trade"}
    material = type(material)(**{**vars(material), "drive": drive})
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=None, isolate=False)
    pump = Pump(core.engine, core.venue)
    for event in core.opening:
        pump.step(event)
    stream = merge(*lanes()).events()
    assert isinstance(stream, TickStream)
    taken: Counter[tuple[type, str]] = Counter()
    take = stream.take

    def counted(most: int) -> Sequence[Any]:
        batch = take(most)
        for event in batch:
            if isinstance(event, Trade | Quote | BookSnapshot):
                taken[type(event), event.instrument] += 1
                strategy.taken.append(event.ts)
        return batch

    stream.take = counted  # type: ignore[method-assign]
    pump.run(stream)
    return taken


def test_bars_are_heard_and_almost_no_tick_between_them_is_made() -> None:
    strategy = Quiet()

    taken = taken_by(strategy)

    assert strategy.heard["bar"] == 2 * BARS
    assert taken.total() < FEW


def test_timers_fire_at_their_moment_and_see_the_tick_before_it() -> None:
    strategy = Timed()

    taken = taken_by(strategy)

    moments = np.arange(START + 77 * SECOND_NS, TS[-1], 77 * SECOND_NS)
    assert [ts for ts, _ in strategy.seen] == moments.tolist()
    last = PRICES[np.searchsorted(TS, moments) - 1]
    assert [price for _, price in strategy.seen] == pytest.approx(last.tolist(), abs=0.11)
    assert taken.total() < FEW


def test_an_order_that_waits_is_filled_by_the_one_trade_that_reaches_it() -> None:
    strategy = Waiting()

    taken = taken_by(strategy)

    assert [fill.ts for fill in strategy.fills] == [TS[HIT]]
    assert taken[Trade, SPOT.id] > 0
    assert sum(ts < TS[HIT] for ts in strategy.taken) < FEW  # what is held then has a price to be looked at


@pytest.mark.parametrize(
    ("listener", "kind"), [(HearsTrades, Trade), (HearsQuotes, Quote), (HearsBooks, BookSnapshot)]
)
def test_each_tick_of_a_subscription_is_taken_and_heard(listener: type[Quiet], kind: type) -> None:
    strategy = listener()

    taken = taken_by(strategy)

    assert strategy.heard[SPOT.id] == TICKS
    assert taken[kind, SPOT.id] == TICKS
