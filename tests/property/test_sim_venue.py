"""What holds for the simulated venue whatever the market does and whatever is asked of it.

The second half is an independent plain loop over whole ticks that says what entries, stops, take-profits and exits must
have filled at; it shares no code with the venue.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.model.command import Amend, Cancel, Command, Submit
from abidance.model.event import (
    AccountEvent,
    ChangeRejected,
    FundingPaid,
    MarketEvent,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
)
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import Bar, BarSlice, BookSnapshot, FundingRate, Quote, Trade
from abidance.model.order import PRICED, TRIGGERED, Fill, OrderRequest, OrderType, Purpose, Side, TimeInForce
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from abidance.venues.sim.venue import SimVenue

D = Decimal
HOUR = 3_600 * SECOND_NS
SPOT = Instrument("BTC/USDT@SIM", D("0.1"), D("0.01"), D("0.01"), D(1))
PERP = Instrument("BTC/USDT:USDT@SIM", D("0.1"), D("0.01"), D("0.01"), D(1), D(50), D("0.01"))
HELD = {each.id: each for each in (SPOT, PERP)}
OPENING = {"USDT": D(5_000), "BTC": D(5), "BNB": D("0.05")}
ENDED = (OrderRejected, OrderCancelled, OrderExpired)

prices = st.integers(800, 1_200).map(lambda ticks: ticks / 10)


@st.composite
def bars(draw: st.DrawFn) -> tuple[float, float, float, float, float]:
    open_, close, one, two = (draw(prices) for _ in range(4))
    volume = draw(st.sampled_from([0.0, 0.5, 10.0, 1e6]))
    return open_, max(open_, close, one), min(open_, close, two), close, volume


configs = st.builds(
    VenueConfig,
    fees=st.just(
        (FeeTier(volume=0, maker=-0.0001, taker=0.0013), FeeTier(volume=900, maker=0.0002, taker=0.0007))
    ),
    fee_asset=st.sampled_from(["quote", "received", "BNB", "BTC"]),
    slippage=st.builds(
        SlippageConfig,
        spread=st.sampled_from([0.0, 0.0002, 0.01]),
        fixed=st.sampled_from([0.0, 0.001, 0.03]),
        volume_share=st.sampled_from([0.0, 0.1]),
    ),
    latency_ms=st.sampled_from([0, 50]),
    max_volume_share=st.sampled_from([0.03, 0.1, 1.0]),
    unlimited_volume=st.booleans(),
    fill_on_touch=st.booleans(),
)


@st.composite
def requests(draw: st.DrawFn) -> OrderRequest:
    kind = draw(st.sampled_from(OrderType))
    tick = D("0.1")
    limit, trigger = (draw(st.integers(780, 1_220)) * tick for _ in range(2))
    return OrderRequest(
        strategy=draw(st.sampled_from("st")),
        instrument=draw(st.sampled_from(list(HELD))),
        side=draw(st.sampled_from(Side)),
        quantity=draw(st.integers(1, 900)) * D("0.01"),
        type=kind,
        price=limit if kind in PRICED else None,
        trigger=trigger if kind in TRIGGERED else None,
        time_in_force=draw(st.sampled_from(TimeInForce)),
        post_only=kind is OrderType.LIMIT and draw(st.sampled_from([False, False, True])),
        reduce_only=draw(st.sampled_from([False, False, True])),
        expire_after=draw(st.sampled_from([None, None, 1_800, 3_600, 9_000])),
    )


Wish = OrderRequest | tuple[str, int, int]
wishes = st.one_of(
    requests(),
    st.tuples(st.sampled_from(["cancel", "amend", "resize"]), st.integers(0, 30), st.integers(790, 1_210)),
)


@dataclass
class Crowd:
    """Plays an engine that wishes at random: some wishes at each close, some in answer to each fill."""

    venue: SimVenue
    at_close: list[list[Wish]]
    at_fill: list[Wish]
    now: int = 0
    sent: dict[str, Submit] = field(default_factory=dict)
    limits: dict[str, set[Decimal]] = field(default_factory=dict)
    quantities: dict[str, Decimal] = field(default_factory=dict)
    log: list[AccountEvent] = field(default_factory=list)

    def commands(self, wishes: Iterable[Wish], ts: int) -> list[Command]:
        out: list[Command] = []
        for wish in wishes:
            if isinstance(wish, OrderRequest):
                submit = Submit(f"o{len(self.sent)}", wish, ts)
                self.sent[submit.order_id] = submit
                self.quantities[submit.order_id] = wish.quantity
                self.limits[submit.order_id] = set() if wish.price is None else {wish.price}
                out.append(submit)
            elif wish[0] == "cancel":
                out.append(Cancel(f"o{wish[1]}", ts))
            else:
                out.append(self._amend(wish, ts))
        return out

    def _amend(self, wish: tuple[str, int, int], ts: int) -> Amend:
        submit = self.sent.get(f"o{wish[1]}")
        if wish[0] == "resize" or submit is None:
            return Amend(f"o{wish[1]}", wish[2] * D("0.01"), None, None, ts)
        price = wish[2] * D("0.1")
        has_price, has_trigger = submit.request.price is not None, submit.request.trigger is not None
        return Amend(submit.order_id, None, price if has_price else None, price if has_trigger else None, ts)

    def hear(self, news: Iterable[AccountEvent]) -> None:
        for each in news:
            self.log.append(each)
            if isinstance(each, OrderAmended):
                self.quantities[each.order_id] = each.quantity
                if each.price is not None:
                    self.limits[each.order_id].add(each.price)

    def meet(self, event: MarketEvent, check: Callable[[], None]) -> list[AccountEvent]:
        before = len(self.log)
        for each in self.venue.advance(event):
            self.hear([each])
            check()
            if isinstance(each, OrderFilled) and self.at_fill:
                self.hear(self.venue.execute(self.commands([self.at_fill.pop()], each.ts)))
                check()
        self.now = event.ts
        wishes = self.at_close.pop() if self.at_close else []
        self.hear(self.venue.execute(self.commands(wishes, event.ts)))
        check()
        return self.log[before:]


def opened(config: VenueConfig, drive: str, leverage: int) -> SimVenue:
    return SimVenue(
        config, HELD, {"SIM": OPENING}, dict.fromkeys(HELD, drive), {"s": D(leverage), "t": D(1)}
    )  # fmt: skip


def check_wallets(venue: SimVenue) -> None:
    """Nothing is negative, and no more is held back than there is."""
    for balance in venue.balances().values():
        assert balance.total >= 0
        assert balance.reserved >= 0
        assert balance.free >= 0


def check_explained(venue: SimVenue, log: list[AccountEvent]) -> None:
    """Every change of a balance is a fill, a fee or funding; what perpetuals have at stake is their cost."""
    expected = dict(OPENING)
    for each in log:
        if isinstance(each, FundingPaid):
            expected["USDT"] += each.amount
        elif isinstance(each, OrderFilled):
            fill = each.fill
            signed = fill.side.sign * fill.quantity
            expected["USDT"] -= signed * fill.price
            if fill.instrument == SPOT.id:
                expected["BTC"] += signed
            expected[fill.fee_asset] -= fill.fee
    positions = venue.positions()
    expected["USDT"] += sum(
        p.quantity * p.average_price for p in positions.values() if p.instrument == PERP.id
    )
    for (_, asset), balance in venue.balances().items():
        assert abs(balance.total - expected[asset]) < D("1e-9"), asset


def check_orders(crowd: Crowd, latency: int) -> None:
    """Orders end once, never overfill, never trade beyond their limit or before their arrival."""
    ended: set[str] = set()
    filled: dict[str, Decimal] = {}
    moment = 0
    for each in crowd.log:
        assert each.ts >= moment
        moment = each.ts
        if isinstance(each, OrderFilled):
            check_fill(crowd, each.fill, latency)
            order = each.fill.order_id
            assert order not in ended
            filled[order] = filled.get(order, D(0)) + each.fill.quantity
        elif isinstance(each, ENDED):
            assert each.order_id not in ended
            ended.add(each.order_id)
    assert all(
        quantity <= crowd.quantities[order] for order, quantity in filled.items() if order in crowd.sent
    )
    ids = [each.fill.id for each in crowd.log if isinstance(each, OrderFilled)]
    assert len(set(ids)) == len(ids)


def check_fill(crowd: Crowd, fill: Fill, latency: int) -> None:
    instrument = HELD[fill.instrument]
    assert fill.price % instrument.tick == 0
    assert fill.price > 0
    if fill.purpose is Purpose.LIQUIDATION:
        return
    assert fill.quantity % instrument.lot == 0
    submit = crowd.sent[fill.order_id]
    assert fill.ts >= submit.ts + latency
    if limits := crowd.limits[fill.order_id]:
        assert fill.price <= max(limits) if fill.side is Side.BUY else fill.price >= min(limits)
    else:
        assert not fill.is_maker


@settings(max_examples=150)
@given(
    config=configs,
    leverage=st.sampled_from([1, 5, 30]),
    tape=st.lists(st.tuples(bars(), bars()), min_size=2, max_size=8),
    at_close=st.lists(st.lists(wishes, max_size=4), max_size=9),
    at_fill=st.lists(wishes, max_size=8),
    rate=st.sampled_from([0.0, 0.0003, -0.0003]),
)
def test_random_orders_on_random_bars_break_no_law(
    config: VenueConfig,
    leverage: int,
    tape: list[tuple[tuple[float, ...], tuple[float, ...]]],
    at_close: list[list[Wish]],
    at_fill: list[Wish],
    rate: float,
) -> None:
    logs = []
    for _ in range(2):
        venue = opened(config, "1h", leverage)
        crowd = Crowd(venue, [list(each) for each in at_close], list(at_fill))

        crowd.meet(BarSlice(0, ()), partial(check_wallets, venue))
        for at, pair in enumerate(tape):
            crowd.hear(venue.advance(FundingRate(crowd.now, PERP.id, rate, pair[1][0])))
            start = crowd.now
            bar = {key: Bar(key, "1h", start, *ohlcv) for key, ohlcv in zip(HELD, pair, strict=True)}
            news = crowd.meet(BarSlice((at + 1) * HOUR, tuple(bar.values())), partial(check_wallets, venue))
            check_explained(venue, crowd.log)
            check_volume(config, news, bar)
        check_orders(crowd, config.latency_ms * 1_000_000)
        logs.append(crowd.log)

    assert logs[0] == logs[1]


def check_volume(config: VenueConfig, news: list[AccountEvent], tape: dict[str, Bar]) -> None:
    """Our fills of one bar take no more than the agreed share of its volume; a liquidation is not ours to choose."""
    if config.unlimited_volume:
        return
    used = dict.fromkeys(tape, 0.0)
    for each in news:
        if isinstance(each, OrderFilled) and each.fill.purpose is not Purpose.LIQUIDATION:
            used[each.fill.instrument] += float(each.fill.quantity)
            assert each.fill.ts >= tape[each.fill.instrument].ts
    for key, bar in tape.items():
        assert used[key] <= config.max_volume_share * bar.volume + 1e-9


sizes = st.sampled_from([0.0, 0.004, 0.5, 7.0])


@st.composite
def ticks(draw: st.DrawFn, drive: str) -> Callable[[int, str], MarketEvent]:
    price, gaps = draw(st.integers(850, 1_150)), [draw(st.integers(1, 20)) for _ in range(4)]
    volumes = [draw(sizes) for _ in range(4)]
    bids = tuple((round(price / 10 - sum(gaps[:n]) / 10, 1), volumes[n]) for n in (0, 1))
    asks = tuple((round(price / 10 + (1 + sum(gaps[:n])) / 10, 1), volumes[n + 2]) for n in (0, 1))
    if drive == "trade":
        return lambda ts, key: Trade(ts, key, price / 10, volumes[0], True)
    if drive == "quote":
        return lambda ts, key: Quote(ts, key, *bids[0], *asks[0])
    depth = draw(st.integers(0, 2))
    return lambda ts, key: BookSnapshot(ts, key, bids[:depth], asks)


@settings(max_examples=60)
@pytest.mark.parametrize("drive", ["trade", "quote", "book"])
@given(data=st.data(), config=configs, leverage=st.sampled_from([1, 30]))
def test_random_orders_on_random_ticks_break_no_law(
    drive: str, data: st.DataObject, config: VenueConfig, leverage: int
) -> None:
    tape = data.draw(st.lists(st.tuples(ticks(drive), st.sampled_from(list(HELD))), min_size=2, max_size=12))
    at_close = data.draw(st.lists(st.lists(wishes, max_size=3), max_size=12))
    venue = opened(config, drive, leverage)
    crowd = Crowd(venue, at_close, data.draw(st.lists(wishes, max_size=6)))

    for at, (tick, key) in enumerate(tape):
        crowd.meet(tick((at + 1) * 600 * SECOND_NS, key), partial(check_wallets, venue))

    check_explained(venue, crowd.log)
    check_orders(crowd, config.latency_ms * 1_000_000)


# --- an independent plain loop ------------------------------------------------------------------------------


@dataclass
class Expected:
    """What a plain loop over whole ticks says must have filled: (bar, ticks) for entries and exits."""

    half_spread: float
    triggers: bool
    fills: list[tuple[int, int]] = field(default_factory=list)

    def take(self, price: float, sign: int) -> int:
        worse = price * (1 + sign * self.half_spread)
        return math.ceil(worse - 1e-7) if sign > 0 else math.floor(worse + 1e-7)

    def run(self, tape: list[tuple[int, int, int, int]], wanted: list[int], stop: int, goal: int) -> None:
        """Hold `wanted[i]` (+1, 0, -1) from the open of bar i + 1; stop and goal are distances from the entry."""
        held = entry = 0
        for at, (open_, high, low, _) in enumerate(tape):
            wish = wanted[at - 1] if at else 0
            if held:
                reached = self.gapped(held, entry, open_, stop, goal)
                if reached is None and wish != held:
                    reached = self.take(open_, -held)
                if reached is not None:
                    self.fills.append((at, reached))
                    held = 0
                    continue
            elif wish:
                held, entry = wish, self.take(open_, wish)
                self.fills.append((at, entry))
            if held:
                worst, best = (low, high) if held > 0 else (high, low)
                if held * (worst - (entry - held * stop)) <= 0:
                    level = entry - held * stop
                    level = min(level, open_) if held > 0 else max(level, open_)
                    self.fills.append((at, self.take(level, -held)))
                    held = 0
                elif held * (best - (entry + held * goal)) >= (0 if self.triggers else 1):
                    level = entry + held * goal
                    self.fills.append((at, self.take(level, -held) if self.triggers else level))
                    held = 0

    def gapped(self, held: int, entry: int, open_: int, stop: int, goal: int) -> int | None:
        if held * (open_ - (entry - held * stop)) <= 0:
            return self.take(open_, -held)
        beyond = held * (open_ - (entry + held * goal))
        if self.triggers:
            return self.take(open_, -held) if beyond >= 0 else None
        return entry + held * goal if beyond >= 1 else None


def prices_of(bar: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    return bar[0] / 10, bar[1] / 10, bar[2] / 10, bar[3] / 10


@dataclass
class Follower:
    """Plays an engine that holds what is wanted, with one stop and one take-profit sent at the entry's fill."""

    venue: SimVenue
    stop: int
    goal: int
    triggers: bool
    held: int = 0
    pending: bool = False
    count: int = 0
    standing: list[str] = field(default_factory=list)
    fills: list[tuple[int, int]] = field(default_factory=list)

    def submit(self, side: int, ts: int, **fields: object) -> Submit:
        self.count += 1
        side_ = Side.BUY if side > 0 else Side.SELL
        request = OrderRequest("s", PERP.id, side_, D(1), **fields)  # type: ignore[arg-type]
        return Submit(f"o{self.count}", request, ts)

    def meet(self, at: int, bar: tuple[int, int, int, int], wish: int) -> None:
        event = BarSlice((at + 1) * HOUR, (Bar(PERP.id, "1h", at * HOUR, *prices_of(bar), 1e9),))
        for news in self.venue.advance(event):
            if isinstance(news, OrderFilled):
                self.fills.append((at, int(news.fill.price / PERP.tick)))
                self.execute(self.on_fill(news))
        if self.held == 0 and wish and not self.pending:
            self.pending = True
            self.execute([self.submit(wish, event.ts)])
        elif self.held and wish != self.held:
            out = self.submit(-self.held, event.ts, reduce_only=True)
            self.standing.append(out.order_id)
            self.execute([out])

    def execute(self, commands: list[Command]) -> None:
        assert not any(
            isinstance(each, OrderRejected | ChangeRejected) for each in self.venue.execute(commands)
        )

    def on_fill(self, news: OrderFilled) -> list[Command]:
        self.pending = False
        if self.held:
            self.held, gone = 0, [each for each in self.standing if each != news.fill.order_id]
            self.standing = []
            return [Cancel(each, news.ts) for each in gone]
        self.held, price = news.fill.side.sign, news.fill.price
        trigger = price - self.held * self.stop * PERP.tick
        limit = price + self.held * self.goal * PERP.tick
        goal: dict[str, object] = {"type": OrderType.LIMIT, "price": limit}
        if self.triggers:
            goal = {"type": OrderType.TAKE_PROFIT, "trigger": limit}
        exits: list[Command] = [
            self.submit(-self.held, news.ts, type=OrderType.STOP, trigger=trigger, reduce_only=True),
            self.submit(-self.held, news.ts, **goal, reduce_only=True),
        ]
        self.standing = [each.order_id for each in exits]
        return exits


tick_bars = st.tuples(*(st.integers(900, 1_100) for _ in range(4))).map(
    lambda t: (t[0], max(t[0], t[1], t[3]), min(t[0], t[2], t[3]), t[3])
)


@settings(max_examples=400)
@given(
    tape=st.lists(tick_bars, min_size=2, max_size=40),
    data=st.data(),
    stop=st.integers(1, 120),
    goal=st.integers(1, 120),
    spread=st.sampled_from([0.0, 0.0004, 0.004]),
    triggers=st.booleans(),
)
def test_entries_stops_and_take_profits_fill_where_a_plain_loop_says(
    tape: list[tuple[int, int, int, int]],
    data: st.DataObject,
    stop: int,
    goal: int,
    spread: float,
    triggers: bool,
) -> None:
    wanted = data.draw(st.lists(st.sampled_from([1, 1, 0, -1]), min_size=len(tape), max_size=len(tape)))
    config = VenueConfig(
        slippage=SlippageConfig(spread=spread, fixed=0, volume_share=0), unlimited_volume=True
    )  # fmt: skip
    venue = SimVenue(config, HELD, {"SIM": {"USDT": D(10**9)}}, dict.fromkeys(HELD, "1h"))
    follower, expected = Follower(venue, stop, goal, triggers), Expected(spread / 2, triggers)

    for at, bar in enumerate(tape):
        follower.meet(at, bar, wanted[at])
    expected.run(tape, wanted, stop, goal)

    assert follower.fills == expected.fills
