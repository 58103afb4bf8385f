"""What holds for a whole core whatever the market does and whatever is wished.

The engine's ledger and the simulated venue's own books are kept apart and must agree to the last unit after each event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.engine.pump import Pump
from abidance.engine.state import State
from abidance.kernel.ids import OrderIds
from abidance.model.event import OrderFilled
from abidance.model.market import FundingRate, MarketEvent
from abidance.model.order import OrderRequest, OrderType
from abidance.model.outcome import Approved, Outcome, Verdict
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.risk.gate import Gate
from abidance.risk.state import Standing
from abidance.run.setup import Core, Material, assemble
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from abidance.venues.sim.orders import Stage
from tests.unit.engine.rig import PERP, SPOT, D, Scripted, bars_of, material_of

NAN = float("nan")
BROKEN = [(NAN,) * 5, (0.0,) * 5, (100.0, 90.0, 110.0, 100.0, 1.0), (100.0, inf, 100.0, 100.0, 1.0)]
MAX_EXPOSURE = 1.2


@st.composite
def rows(draw: st.DrawFn, size: int, broken: bool) -> list[Sequence[float]]:
    """Return bars that wander, gap, spike and dry up; now and then one that is none."""
    found: list[Sequence[float]] = []
    close = 1000
    for _ in range(size):
        if broken and draw(st.integers(0, 14)) == 0:
            found.append(draw(st.sampled_from(BROKEN)))
            continue
        gap = draw(st.sampled_from([0, 0, 0, 5, -5, 150, -150, -400]))
        open_ = max(close + gap, 20)
        close = max(open_ + draw(st.integers(-40, 40)), 20)
        up, down = draw(st.sampled_from([0, 3, 20, 200])), draw(st.sampled_from([0, 3, 20, 200]))
        high, low = max(open_, close) + up, max(min(open_, close) - down, 10)
        volume = draw(st.sampled_from([0.0, 0.4, 5.0, 1e3, 1e6]))
        found.append((open_ / 10, high / 10, low / 10, close / 10, volume))
    return found


wishes = st.sampled_from([NAN, NAN, NAN, 0.0, 1.0, 0.5, -1.0, -0.4])
distances = st.sampled_from([None, 0.3, 3.0, 12.0, 90.0])


@st.composite
def scripts(draw: st.DrawFn, size: int) -> Scripted:
    return Scripted(
        draw(st.lists(wishes, min_size=size, max_size=size)),
        stop=draw(distances),
        take_profit=draw(distances),
        trailing=draw(distances),
        break_even=draw(distances),
        max_bars=draw(st.sampled_from([None, 1, 3])),
        confidence=draw(st.sampled_from([1.0, 0.3])),
    )


venues = st.builds(
    VenueConfig,
    fees=st.just(
        (FeeTier(volume=0, maker=-0.0001, taker=0.0013), FeeTier(volume=900, maker=0.0002, taker=0.0007))
    ),
    fee_asset=st.sampled_from(["quote", "received", "BTC"]),
    slippage=st.builds(
        SlippageConfig,
        spread=st.sampled_from([0.0, 0.0002, 0.01]),
        fixed=st.sampled_from([0.0, 0.02]),
        volume_share=st.sampled_from([0.0, 0.1]),
    ),
    latency_ms=st.sampled_from([0, 0, 50]),
    max_volume_share=st.sampled_from([0.1, 1.0]),
    unlimited_volume=st.booleans(),
    fill_on_touch=st.booleans(),
)
risks = st.builds(
    RiskConfig,
    limits=st.builds(
        LimitsConfig,
        max_exposure=st.just(MAX_EXPOSURE),
        max_asset_exposure=st.just(5.0),
        max_venue_exposure=st.just(5.0),
        max_leverage=st.just(20.0),
        require_stop=st.sampled_from([False, False, True]),
    ),
    breakers=st.builds(
        BreakersConfig,
        daily_loss=st.sampled_from([None, 0.05]),
        max_drawdown=st.sampled_from([None, 0.25]),
        losing_streak=st.sampled_from([None, 2]),
        volatility_spike=st.just(None),
        data_anomaly=st.sampled_from([None, 0.2]),
    ),
)
sizings = st.sampled_from(
    [
        SizingConfig(method="fixed_quantity", quantity=7.0),
        SizingConfig(method="fixed_fraction", fraction=0.9),
        SizingConfig(method="risk_per_trade", risk=0.05),
        SizingConfig(method="fixed_notional", amount=300.0),
    ]
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, object]:
    return {
        "allow_short": draw(st.booleans()),
        "leverage": draw(st.sampled_from([1.0, 3.0, 15.0])),
        "rebalance_threshold": 0.1,
        "order_type": draw(st.sampled_from(["market", "limit"])),
        "entry_timeout": draw(st.sampled_from([None, 1800, 7200])),
        "sizing": draw(sizings),
        "exits": draw(
            st.builds(
                ExitsConfig.model_copy,
                st.sampled_from(
                    [ExitsConfig(), ExitsConfig(stop_loss=0.02), ExitsConfig(trailing_stop=0.05)]
                ),
                update=st.sampled_from([{}, {"take_profit_order": "market"}]),
            )
        ),
    }


@st.composite
def materials(draw: st.DrawFn, size: int = 14, broken: bool = True) -> Material:
    """Return two strategies on the same spot pair and the same perpetual, with shared cash."""
    strategies = {"one": draw(scripts(size)), "two": draw(scripts(size))}
    tapes = {each: bars_of(each.id, draw(rows(size, broken))) for each in (SPOT, PERP)}
    return material_of(
        strategies, tapes, configs={name: draw(configs()) for name in strategies},
        risk=draw(risks), venue=draw(venues), dry_run_wallet=1000.0,
    )  # fmt: skip


@dataclass
class WatchedGate:
    """A gate whose approvals are held against the exposure that they lead to."""

    inner: Gate
    before: float | None = None

    def check(
        self, request: OrderRequest, view: State, standing: Standing, replaces: OrderRequest | None = None
    ) -> Verdict:
        self.settle(view)
        before = view.exposure()
        verdict = self.inner.check(request, view, standing, replaces)
        if isinstance(verdict, Approved):
            self.before = before
        return verdict

    def settle(self, view: State) -> None:
        """What was approved last kept the exposure within the limit, or did not add to one that prices had broken."""
        places = [
            (o.request.strategy, o.request.instrument)
            for o in view.orders.open()
            if not o.request.reduce_only
        ]
        # While an entry's cancel is on its way, the view counts it and its successor at the higher price of the two.
        if self.before is not None and len(places) == len(set(places)):
            allowed = max(self.before, MAX_EXPOSURE * view.equity())
            assert view.exposure() <= allowed * (1 + 1e-9)
        self.before = None


@dataclass
class Witness:
    """Compares both books after every event and holds approvals against the limits."""

    core: Core

    def __post_init__(self) -> None:
        self.gate = WatchedGate(self.core.engine.actions._gate)
        self.core.engine.actions._gate = self.gate  # type: ignore[assignment]

    def see(self, outcome: Outcome) -> None:
        self.gate.settle(self.core.engine.state)

    def check_books(self) -> None:
        portfolio, venue = self.core.engine.state.portfolio, self.core.venue
        for (name, asset), balance in venue.balances().items():
            assert portfolio.balance(name, asset) == balance.total, (name, asset)
        theirs = {key: each.quantity for key, each in venue.positions().items()}
        ours = {(each.strategy, each.instrument): each.quantity for each in portfolio.open_positions()}
        for key in theirs.keys() | ours.keys():
            dust = portfolio.dust.get(key, D(0))
            assert ours.get(key, D(0)) + dust == theirs.get(key, D(0)), key

    def check_orders(self) -> None:
        """Both sides know the same orders, and nothing rests that could only reduce a position that is flat."""
        state = self.core.engine.state
        ours = {order.id: order for order in state.orders.open()}
        assert ours.keys() == self.core.venue._orders.keys()
        for order in ours.values():
            working = self.core.venue._orders[order.id].orders[order.id]
            assert working.request.quantity == order.request.quantity
            assert working.request.trigger == order.request.trigger
            if order.request.reduce_only:
                assert state.position(order.request.strategy, order.request.instrument).quantity

    def check_protection(self) -> None:
        """A stop stands for the whole position that its strategy holds."""
        state = self.core.engine.state
        for position in state.portfolio.open_positions():
            stops = [
                order
                for order in state.orders.open(strategy=position.strategy, instrument=position.instrument)
                if order.request.type is OrderType.STOP and not self.is_triggered(order.id)
            ]
            steps = state.instruments[position.instrument]
            held = abs(position.quantity) // steps.lot * steps.lot
            assert len(stops) <= 1
            for stop in stops:
                # A stop worth less than the venue takes cannot be made so small; the venue cuts it to the position.
                too_small = (
                    stop.request.trigger is not None and held * stop.request.trigger < steps.min_notional
                )
                assert stop.remaining == held or (too_small and stop.remaining > held)

    def is_triggered(self, order_id: str) -> bool:
        return self.core.venue._orders[order_id].orders[order_id].stage is not Stage.TRIGGER

    def check_profit(self) -> None:
        portfolio = self.core.engine.state.portfolio
        earned = sum(portfolio.profit_of(name) for name in ("one", "two"))
        assert abs(portfolio.funds() + earned - portfolio.equity()) < 1e-6


def events_of(material: Material, rates: Sequence[float]) -> list[MarketEvent]:
    events: list[MarketEvent] = []
    for at, event in enumerate(material.replay().events()):
        events.append(event)
        if rates[at % len(rates)]:
            events.append(FundingRate(event.ts, PERP.id, rates[at % len(rates)], 100.0))
    return events


def run(material: Material, rates: Sequence[float], *, tape: bool = True) -> tuple[list[Outcome], Core]:
    core = assemble(material, OrderIds(0, 0, b"t").make, tape=material.bars if tape else None, isolate=False)
    witness, seen = Witness(core), list[Outcome]()

    def observe(outcome: Outcome) -> None:
        seen.append(outcome)
        witness.see(outcome)

    pump = Pump(core.engine, core.venue, observe=observe)
    for opening in core.opening:
        pump.step(opening)
    for event in events_of(material, rates):
        pump.run([event])
        witness.check_books()
        witness.check_orders()
        witness.check_protection()
        witness.check_profit()
    return seen, core


rates = st.lists(st.sampled_from([0.0, 0.001, -0.002]), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(material=materials(), funding=rates)
def test_ledger_and_venue_agree_to_the_last_unit_whatever_happens(
    material: Material, funding: list[float]
) -> None:
    seen, core = run(material, funding)

    assert all(fill.quantity > 0 and fill.price >= 0 for fill in core.engine.fills)
    assert len({fill.id for fill in core.engine.fills}) == len(core.engine.fills)
    assert sum(isinstance(each.event, OrderFilled) for each in seen) == len(core.engine.fills)


@settings(max_examples=25, deadline=None)
@given(material=materials(), funding=rates)
def test_two_runs_are_equal_outcome_by_outcome(material: Material, funding: list[float]) -> None:
    first, _ = run(material, funding)
    second, _ = run(material, funding)

    assert list(map(repr, first)) == list(map(repr, second))


@settings(max_examples=40, deadline=None)
@given(material=materials(), funding=rates)
def test_a_tape_known_in_advance_changes_no_decision(material: Material, funding: list[float]) -> None:
    ahead, _ = run(material, funding)
    along, _ = run(material, funding, tape=False)

    assert list(map(repr, ahead)) == list(map(repr, along))  # NaN equals itself in writing
