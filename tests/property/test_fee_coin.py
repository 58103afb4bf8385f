"""Fees in a coin that nothing prices count as what they stand for: in equity, profits and limits on losses."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from abidance.kernel.ids import OrderIds
from abidance.model.event import Event, OrderFilled
from abidance.model.order import Fill
from abidance.model.outcome import Outcome
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.setup import Core, Material, assemble
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from abidance.venues.sim.venue import SimVenue
from tests.property.test_engine import rows, wishes
from tests.property.test_replica import Wire, compare
from tests.unit.engine.rig import OTHER, SPOT, Rig, Scripted, bars_of, material_of

COIN = "BNB"
Change = Callable[[Fill], Fill]


@st.composite
def materials(draw: st.DrawFn) -> Material:
    """Return two strategies that trade two pairs and may lose so much by fees that a limit on losses trips."""
    size = 16
    rate = draw(st.sampled_from([0.001, 0.02, 0.05]))
    strategies = {
        name: Scripted(draw(st.lists(wishes, min_size=size, max_size=size))) for name in ("one", "two")
    }
    tapes = {each: bars_of(each.id, draw(rows(size, broken=False))) for each in (SPOT, OTHER)}
    sizing = SizingConfig(method="fixed_fraction", fraction=0.15)
    breakers = BreakersConfig(
        daily_loss=draw(st.sampled_from([0.005, 0.02, 0.1])),
        max_drawdown=draw(st.sampled_from([None, 0.02, 0.1])),
        losing_streak=2,
        data_anomaly=None,
    )
    limits = LimitsConfig(max_exposure=2, max_asset_exposure=2, max_venue_exposure=2, duplicate_window=0)
    return material_of(
        strategies,
        tapes,
        configs={name: {"sizing": sizing} for name in strategies},
        risk=RiskConfig(limits=limits, breakers=breakers),
        venue=VenueConfig(
            fees=(FeeTier(volume=0, maker=rate, taker=rate),),
            slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
            max_volume_share=1.0,
        ),
        dry_run_wallet=1_000.0,
    )


def with_coin(price: float) -> Change:
    """Return what lets fees be taken in a coin that costs so much, and says what each stands for."""

    def changed(fill: Fill) -> Fill:
        coins = max((fill.fee / Decimal(price)).quantize(Decimal("1e-8")), Decimal("1e-8"))
        return replace(fill, fee=coins, fee_asset=COIN, fee_worth=fill.fee)

    return changed


def as_before(fill: Fill) -> Fill:
    """Return a fill as earlier versions recorded it."""
    return replace(fill, fee_worth=UNSET)


def altered(event: Event, change: Change) -> Event:
    """Return an event with its fill changed, if that has a fee."""
    if isinstance(event, OrderFilled) and event.fill.fee > 0:
        return OrderFilled(event.ts, change(event.fill))
    return event


def fed(
    material: Material, events: Sequence[Event], change: Change
) -> tuple[Core[SimVenue], list[Outcome], list[float]]:
    """Return an engine that took the events, its outcomes and its equity after each; fills with a fee are changed."""
    core = assemble(material, OrderIds(0, 0, b"test").make, tape=material.bars, isolate=False)
    outcomes, equity = list[Outcome](), list[float]()
    for each in events:
        outcomes.append(core.engine.process(altered(each, change)))
        equity.append(core.engine.state.equity())
    return core, outcomes, equity


def decided(outcomes: Sequence[Outcome]) -> list[object]:
    """Return all that was decided, but for what people are told of the coin."""
    return [
        (
            each.intents,
            each.verdicts,
            each.commands,
            [notice for notice in each.notices if notice.code != "fee_unpriced"],
        )
        for each in outcomes
    ]


@settings(max_examples=60, deadline=None)
@given(materials(), st.sampled_from([0.0003, 1.0, 640.0]))
def test_fees_in_a_coin_are_decided_on_as_the_same_fees_in_the_quote(
    material: Material, price: float
) -> None:
    rig = Rig(material).run()
    events = [each.event for each in rig.outcomes]

    quote, by_quote, equity = fed(material, events, lambda fill: fill)
    coin, by_coin, others = fed(material, events, with_coin(price))

    assert decided(by_coin) == decided(by_quote) == decided(rig.outcomes)
    assert others == equity
    ours, theirs = coin.engine.state.portfolio, quote.engine.state.portfolio
    assert [ours.profit_of(each) for each in ("one", "two")] == [
        theirs.profit_of(each) for each in ("one", "two")
    ]
    assert ours.round_trips == theirs.round_trips
    assert ours.funds() == theirs.funds()
    assert ours.unpriced == {}
    told = [each for outcome in by_coin for each in outcome.notices if each.code == "fee_unpriced"]
    assert len(told) == (1 if ours.bought else 0)
    worth = sum(ours.value("SIM", asset) for asset in ours.ledger.balances("SIM"))
    assert abs(worth - ours.equity()) < 1e-6


@settings(max_examples=25, deadline=None)
@given(materials(), st.sampled_from([0.0003, 640.0]))
def test_a_replica_and_a_replay_know_what_such_fees_count_as(material: Material, price: float) -> None:
    events = [each.event for each in Rig(material).run().outcomes]
    core, outcomes, equity = fed(material, events, with_coin(price))

    wire = Wire(material)
    for outcome in outcomes:
        wire.append(outcome.event)
        if (found := outcome.decided(core.engine.state.now)) is not None:
            wire.append(found)
    again, repeated, values = fed(material, [each.event for each in outcomes], lambda fill: fill)

    compare(core, wire.replica, outcomes)
    assert repeated == outcomes
    assert values == equity
    assert (
        wire.replica.portfolio.bought
        == core.engine.state.portfolio.bought
        == again.engine.state.portfolio.bought
    )


@settings(max_examples=25, deadline=None)
@given(materials())
def test_a_record_that_does_not_say_what_a_fee_stands_for_is_decided_as_it_was(material: Material) -> None:
    events = [each.event for each in Rig(material).run().outcomes]
    change = with_coin(640.0)

    older, by_older, equity = fed(material, events, lambda fill: as_before(change(fill)))
    _, by_nothing, free = fed(material, events, lambda fill: replace(fill, fee=Decimal(0)))

    assert decided(by_older) == decided(by_nothing)
    assert equity == free
    portfolio = older.engine.state.portfolio
    assert portfolio.bought == {}
    assert portfolio.unpriced.get(COIN, Decimal(0)) == -portfolio.balance("SIM", COIN)


def test_a_loss_by_fees_in_a_coin_trips_the_limit_at_the_fill_at_which_the_same_fees_in_the_quote_do() -> (
    None
):
    material = material_of(
        {"one": Scripted([1.0, 0.0] * 12)},
        {SPOT: bars_of(SPOT.id, [(100.0, 100.0, 100.0, 100.0)] * 24)},
        configs={"one": {"sizing": SizingConfig(method="fixed_fraction", fraction=0.5)}},
        risk=RiskConfig(
            limits=LimitsConfig(
                max_exposure=2, max_asset_exposure=2, max_venue_exposure=2, duplicate_window=0
            ),
            breakers=BreakersConfig(
                daily_loss=0.02, max_drawdown=None, losing_streak=None, data_anomaly=None
            ),
        ),
        venue=VenueConfig(
            fees=(FeeTier(volume=0, maker=0.002, taker=0.002),),
            slippage=SlippageConfig(spread=0, fixed=0, volume_share=0),
            max_volume_share=1.0,
        ),
        dry_run_wallet=1_000.0,
    )
    events = [each.event for each in Rig(material).run().outcomes]

    def tripped(change: Change) -> float:
        _, outcomes, _ = fed(material, events, change)
        codes = [{each.code for each in outcome.notices} for outcome in outcomes]
        return next((number for number, found in enumerate(codes) if "daily_loss" in found), inf)

    at = tripped(lambda fill: fill)

    assert at < inf
    assert tripped(with_coin(640.0)) == at
    assert tripped(lambda fill: as_before(with_coin(640.0)(fill))) == inf  # as in older records
