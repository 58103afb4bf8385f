"""Entries whose expected cost is limited, in a whole core: by books, by quotes, by the model on bars."""

from collections.abc import Sequence

import pytest

from abidance.execution.analysis import analyse
from abidance.execution.config import ExecutionConfig
from abidance.model.event import ControlAction
from abidance.model.instrument import SECOND_NS
from abidance.model.market import BookSnapshot, Quote, Trade
from abidance.model.order import Purpose
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.strategy.config import ExitsConfig
from abidance.venues.sim.config import FeeTier, SlippageConfig, VenueConfig
from tests.unit.engine.rig import LOOSE, SPOT, START, D, Rig, Scripted, flat, rig_of

NAN = float("nan")
COSTLY = VenueConfig(
    fees=(FeeTier(volume=0, maker=0.0005, taker=0.001),),
    slippage=SlippageConfig(spread=0.002, fixed=0, volume_share=0.1),
    max_volume_share=1.0,
)


def guarded(limit: float | None) -> RiskConfig:
    limits = LOOSE.limits.model_copy(update={"max_slippage": limit})
    return RiskConfig(limits=limits, breakers=BreakersConfig(daily_loss=None, max_drawdown=None))


def rig(targets: Sequence[float], limit: float | None = 0.002, **more: object) -> Rig:
    given = {"venues": {"SIM": COSTLY}, "risk": guarded(limit), **more}
    return rig_of(Scripted(targets, stop=5.0), flat(*[100.0] * 8), **given)  # type: ignore[arg-type]


def told(rig: Rig, event: Quote | Trade | BookSnapshot) -> None:
    rig.engine.process(event)


def at(rig: Rig) -> int:
    return rig.ts + SECOND_NS


def test_a_thin_book_refuses_an_entry_and_a_deep_one_lets_it_pass() -> None:
    thin, deep = rig([NAN, 1.0]), rig([NAN, 1.0])
    for each, size in ((thin, 0.1), (deep, 50.0)):
        each.step()
        ts = START + 2 * 3_600 * SECOND_NS - SECOND_NS
        ladder = tuple((100.1 + n, size) for n in range(20))
        told(each, BookSnapshot(ts, SPOT.id, ((99.9, 1.0),), ladder))
        each.step()

    assert [(r.code, "by the book" in r.reason) for r in thin.refusals] == [(RefusalCode.MAX_SLIPPAGE, True)]
    assert deep.refusals == []
    assert deep.submits[0].request.expected == D("100.1")


def test_a_book_that_does_not_hold_the_quantity_refuses_it() -> None:
    found = rig([NAN, 1.0])
    found.step()
    ts = START + 2 * 3_600 * SECOND_NS - SECOND_NS
    told(found, BookSnapshot(ts, SPOT.id, ((100.0, 1.0),), ((100.1, 0.5),)))
    found.step()

    assert [r.code for r in found.refusals] == [RefusalCode.MAX_SLIPPAGE]
    assert "does not hold" in found.refusals[0].reason


def test_a_quote_is_known_although_trades_came_after_it() -> None:
    found = rig([NAN, 1.0], 0.0001)
    found.step()
    ts = START + 2 * 3_600 * SECOND_NS - 5 * SECOND_NS
    told(found, Quote(ts, SPOT.id, 98.0, 9.0, 102.0, 9.0))
    told(found, Trade(ts + SECOND_NS, SPOT.id, 100.0, 1.0, True))
    found.step()

    assert [r.code for r in found.refusals] == [RefusalCode.MAX_SLIPPAGE]
    assert "trade at 102 by the quote" in found.refusals[0].reason


@pytest.mark.parametrize(("limit", "refused"), [(0.0011, False), (0.0009, True)])
def test_on_bars_the_slippage_model_is_asked(limit: float, refused: bool) -> None:
    found = rig([1.0, NAN, NAN], limit)
    found.step(3)

    assert ([r.code for r in found.refusals] == [RefusalCode.MAX_SLIPPAGE]) is refused
    assert bool(found.fills) is not refused


@pytest.mark.parametrize(("cost", "refused"), [(0.0021, False), (0.0019, True)])
def test_a_strategy_may_limit_slippage_and_fees_together(cost: float, refused: bool) -> None:
    found = rig([1.0, NAN], None, config={"execution": ExecutionConfig(max_cost=cost)})
    found.step(2)

    assert ([r.code for r in found.refusals] == [RefusalCode.MAX_COST]) is refused


def test_exits_pass_whatever_they_cost() -> None:
    found = rig([1.0, 0.0, NAN, NAN], 0.0011)
    found.step()
    ts = START + 2 * 3_600 * SECOND_NS - SECOND_NS
    found.engine.process(Quote(ts, SPOT.id, 50.0, 0.001, 150.0, 0.001))
    found.step(3)

    assert [(f.side.value, f.purpose) for f in found.fills] == [
        ("buy", Purpose.ENTRY),
        ("sell", Purpose.SIGNAL),
    ]
    assert found.refusals == []
    found.control(ControlAction.FLATTEN)


def test_protective_stops_pass_whatever_they_cost() -> None:
    found = rig_of(
        Scripted([1.0]), [*flat(100.0, 100.0), (100, 100, 80, 80)], venues={"SIM": COSTLY}, risk=guarded(0.0011),
        config={"exits": ExitsConfig(stop_loss=0.05)},
    ).run()  # fmt: skip

    assert [f.purpose for f in found.fills] == [Purpose.ENTRY, Purpose.STOP_LOSS]


def test_what_was_expected_is_compared_with_what_came() -> None:
    found = rig([1.0, NAN, NAN], 0.0011)
    found.step(3)

    stats = analyse(found.state.orders.all(), found.fills).overall

    assert stats.expected_bps == pytest.approx(10, abs=0.01)
    assert stats.surprise_bps == pytest.approx(0, abs=0.01)


def test_without_a_limit_nothing_is_estimated() -> None:
    found = rig([1.0, NAN, NAN], None)
    found.step(3)

    assert not found.submits[0].request.expected
    assert analyse(found.state.orders.all(), found.fills).overall.expected_bps is None


def test_a_tighter_limit_never_lets_more_through() -> None:
    passed = []
    for limit in (0.0005, 0.001, 0.0011, 0.01):
        found = rig([1.0, NAN], limit, config={"sizing": SizingConfig(method="fixed_quantity", quantity=2.0)})
        found.step(2)
        passed.append(bool(found.submits))

    assert passed == sorted(passed)
    assert passed[0] is False
    assert passed[-1] is True
    assert isinstance(guarded(0.1).limits, LimitsConfig)
