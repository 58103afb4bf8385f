"""Passing over ticks in compiled code leads to the same as taking them one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.backtest.event import Recorder
from abidance.engine.pump import Pump
from abidance.kernel.ids import OrderIds
from abidance.kernel.ports import Feed
from abidance.market.feed import (
    BarReplay,
    BookReplay,
    FundingReplay,
    LadderReplay,
    QuoteReplay,
    TradeReplay,
    merge,
)
from abidance.market.feed import stream as stream_module
from abidance.market.feed import ticks as ticks_module
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import TimerRequest
from abidance.model.market import Bar, BookSnapshot, MarketEvent, Trade
from abidance.model.order import PRICED, TRIGGERED, Fill, OrderRequest, OrderType, Protection, Purpose, Side
from abidance.risk.config import BreakersConfig, RiskConfig
from abidance.run.setup import Core, assemble
from abidance.strategy.base import EventStrategy, Intents, View
from abidance.venues.sim.config import SlippageConfig, VenueConfig
from abidance.venues.sim.venue import SimVenue
from tests.unit.engine.rig import LOOSE, PERP, SPOT, START, bars_of, flat, material_of

D = Decimal
PRICES = {SPOT.id: 100.0, PERP.id: 100.0}


class Restless(EventStrategy):
    """Sends orders of all kinds, as a seed says, at bars, fills and timers; hears a stream only when told to."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def on_start(self, view: View) -> Intents:
        return [TimerRequest(self.name, "next", view.now + SECOND_NS)]

    def on_bar(self, bar: Bar, view: View) -> Intents:
        return [self._order(bar.instrument, view)]

    def on_fill(self, fill: Fill, view: View) -> Intents:
        return [self._order(fill.instrument, view)] if self.rng.random() < 0.3 else None

    def on_timer(self, timer: Any, view: View) -> Intents:
        wait = int(self.rng.integers(1, 90 * SECOND_NS))
        orders = [self._order(id, view) for id in PRICES if self.rng.random() < 0.6]
        return [TimerRequest(self.name, "next", view.now + wait), *orders]

    def _order(self, id: str, view: View) -> OrderRequest:
        rng = self.rng
        price = view.price(id) or PRICES[id]
        held = view.position(id).quantity
        side = Side.BUY if rng.random() < (0.35 if held > 0 else 0.75) else Side.SELL
        kind = OrderType(str(rng.choice([each.value for each in OrderType])))
        away = D(str(round(price * (1 + float(rng.normal(0, 0.003))), 1)))
        return OrderRequest(
            strategy=self.name,
            instrument=id,
            side=side,
            quantity=D(int(rng.integers(1, 3000))) / 1000,
            type=kind,
            price=away if kind in PRICED else None,
            trigger=away if kind in TRIGGERED else None,
            reduce_only=bool(side is Side.SELL and held > 0),
            purpose=Purpose.SIGNAL,
            expire_after=int(rng.integers(1, 60)) if rng.random() < 0.3 else None,
            protection=Protection(stop=0.4, take_profit=0.6) if rng.random() < 0.4 else None,
        )


class Listening(Restless):
    """The same, and hears trades."""

    def on_trade(self, trade: Trade, view: View) -> Intents:
        return [self._order(trade.instrument, view)] if self.rng.random() < 0.01 else None


@dataclass(frozen=True)
class Case:
    """What is replayed: per instrument which streams there are and which of them fills."""

    seed: int
    length: int
    wild: float
    pace: float
    drives: tuple[str, str]
    listens: bool
    latency: int
    breakers: bool
    on_touch: bool
    chunk: int


cases = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(0, 600),
    wild=st.sampled_from([0.0002, 0.001, 0.004]),
    pace=st.sampled_from([0.02, 0.3, 4.0]),
    drives=st.tuples(*[st.sampled_from(["trade", "quote", "book", "1m"])] * 2),
    listens=st.booleans(),
    latency=st.sampled_from([0, 0, 350]),
    breakers=st.booleans(),
    on_touch=st.booleans(),
    chunk=st.sampled_from([17, 100, 131_072]),
)


def moments(rng: Any, case: Case, count: int) -> Any:
    """Return times that rise, often many at once."""
    return START + np.cumsum(rng.exponential(case.pace * 1e9, count) * (rng.random(count) < 0.8)).astype(
        np.int64
    )


def feeds(case: Case) -> list[Feed]:
    """Return trades, quotes and books of two instruments, bars of both, and funding."""
    found: list[Feed] = []
    rng = np.random.default_rng(case.seed)
    for instrument in (SPOT, PERP):
        count = case.length
        ts = moments(rng, case, count)
        price = np.round(100.0 * np.exp(np.cumsum(rng.normal(0, case.wild, count))), 1)
        if count > 20 and case.seed % 3 == 0:
            price[count // 2] = 0.0
        side = rng.choice(["buy", "sell"], count)
        size = np.round(rng.exponential(0.8, count), 3)
        found.append(TradeReplay(instrument.id, {"ts_ns": ts, "price": price, "size": size, "side": side}))
        ts = moments(rng, case, count)
        middle = np.round(100.0 * np.exp(np.cumsum(rng.normal(0, case.wild, count))), 1)
        bid, ask = middle - 0.1, middle + rng.choice([0.1, 0.1, 0.3, -0.2], count)
        columns = {"ts_ns": ts, "bid": bid, "bid_size": size, "ask": ask, "ask_size": size[::-1]}
        found.append(QuoteReplay(instrument.id, columns))
        if count:
            book = BookReplay(instrument.id, books(rng, case, middle), 3)
            found.append(as_ladders(book) if case.seed % 2 else book)
        rows = flat(*(100.0 + rng.normal(0, 1, 30)).round(1).tolist())
        bars = bars_of(instrument.id, rows, "1m", 60 * SECOND_NS)
        found.append(BarReplay([bars]))
        if instrument is PERP:
            due = {"ts_ns": bars.ts_close[5::7], "funding_rate": np.full(len(bars.ts[5::7]), 0.001)}
            found.append(FundingReplay(instrument.id, due, bars))
    return found


def as_ladders(book: BookReplay) -> LadderReplay:
    """Return the same books as whole ladders."""
    taken = [event for event in book.events() if isinstance(event, BookSnapshot)]
    columns: dict[str, Any] = {"ts_ns": [each.ts for each in taken]}
    for side in ("bid", "ask"):
        for at, what in enumerate(("prices", "sizes")):
            columns[f"{side}_{what}"] = [[level[at] for level in getattr(each, f"{side}s")] for each in taken]
    return LadderReplay(book.instrument, columns)


def books(rng: Any, case: Case, middle: Any) -> dict[str, Any]:
    """Return recorded changes of a ladder around a price; some snapshots, some levels that go away."""
    rows: list[tuple[int, str, float, float, bool]] = []
    for ts, price in zip(moments(rng, case, len(middle)).tolist(), middle.tolist(), strict=True):
        whole = not rows or rng.random() < 0.05
        for level in range(1, 4 if whole else 2):
            rows.append(
                (
                    ts,
                    "bid",
                    round(price - level / 10, 1),
                    float(rng.integers(0 if not whole else 1, 4)),
                    whole,
                )
            )
            rows.append(
                (
                    ts,
                    "ask",
                    round(price + level / 10, 1),
                    float(rng.integers(0 if not whole else 1, 4)),
                    whole,
                )
            )
    names = ("ts_ns", "side", "price", "size", "is_snapshot")
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def one_by_one(pump: Pump, events: Iterable[MarketEvent]) -> None:
    for event in events:
        pump.market(event)


def core_of(case: Case) -> Core[SimVenue]:
    """Return a core with a restless strategy."""
    strategy = (Listening if case.listens else Restless)(case.seed)
    tapes = {each: bars_of(each.id, flat(100), "1m") for each in (SPOT, PERP)}
    risk = RiskConfig(
        limits=LOOSE.limits,
        breakers=BreakersConfig(daily_loss=0.01, max_drawdown=0.02) if case.breakers else LOOSE.breakers,
    )
    venue = VenueConfig(
        latency_ms=case.latency, fill_on_touch=case.on_touch, slippage=SlippageConfig(spread=0.0005)
    )
    material = material_of(
        {"one": strategy}, tapes, risk=risk, venue=venue, timeframe="1m", dry_run_wallet=10_000.0,
        configs={"one": {"allow_short": True, "leverage": 3.0}},
    )  # fmt: skip
    drive = dict(zip((SPOT.id, PERP.id), case.drives, strict=True))
    return assemble(
        type(material)(**{**vars(material), "drive": drive}),
        OrderIds(0, 0, b"t").make,
        tape=None,
        isolate=False,
    )


def run_of(
    case: Case, feed: Any, all_feeds: Sequence[Feed]
) -> tuple[str, list[Fill], list[tuple[int, float]]]:
    core = core_of(case)
    recorder = Recorder(core.engine, ("one",))
    pump = Pump(core.engine, core.venue, observe=recorder.observe)
    for event in core.opening:
        pump.step(event)
    feed(pump, merge(*all_feeds).events())
    curve = list(zip(recorder.ts, recorder.equity, strict=True))
    return recorder.digest.hexdigest(), core.engine.fills, curve


@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_passing_over_ticks_gives_the_outcomes_of_one_at_a_time(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream_module, "LEAST", 0)
        everything = feeds(case)

        stepped = run_of(case, one_by_one, everything)
        patch.setattr(ticks_module, "_CHUNK", case.chunk)  # which no outcome may tell
        skipped = run_of(case, lambda pump, events: pump.run(events), everything)

        assert skipped[1] == stepped[1]
        assert skipped[2] == stepped[2]
        assert skipped[0] == stepped[0]
