"""How far a run is below its highest: money that came or went is neither profit nor loss, as breakers have it."""

from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.api import views
from abidance.api.following import Followed
from abidance.journal.record import Record
from abidance.model.event import BalanceChanged
from abidance.risk.breaker import Breakers
from abidance.risk.config import BreakersConfig
from abidance.run.curve import Curve, Point
from tests.unit.api.conftest import recorded

__all__ = ["recorded"]  # a fixture
AMOUNTS = st.floats(1.0, 1e6)
STEPS = st.lists(st.tuples(st.booleans(), AMOUNTS), min_size=1, max_size=30)


@given(STEPS)
def test_the_highest_equity_is_that_of_the_breakers_whatever_comes_and_goes(
    steps: list[tuple[bool, float]],
) -> None:
    curve, breakers = Curve(), Breakers(BreakersConfig(max_drawdown=None, daily_loss=None))
    equity = 1_000.0
    curve.on_external(0.0, equity)
    breakers.on_equity(0, equity)
    curve.put(Point(0, equity, 0.0))

    for ts, (is_external, to) in enumerate(steps, 1):
        if is_external:
            curve.on_external(equity, to - equity)
            breakers.on_external(to - equity)
        equity = to
        breakers.on_equity(ts, equity)
        curve.put(Point(ts, equity, 0.0))

    _, peak, _ = breakers.room
    assert curve.peak == pytest.approx(peak, rel=1e-9)
    assert curve.fallen[-1] == pytest.approx(equity / peak - 1, abs=1e-9)


@pytest.mark.parametrize("to", [500.0, 8_000.0])
def test_a_withdrawal_is_no_drawdown_and_a_deposit_mends_none(to: float) -> None:
    curve = Curve()
    for ts, equity in enumerate((1_000.0, 900.0)):
        curve.put(Point(ts, equity, 0.0))

    curve.on_external(900.0, to - 900.0)
    curve.put(Point(2, to, 0.0))
    curve.put(Point(3, to * 0.9, 0.0))

    assert list(curve.fallen) == pytest.approx([0.0, -0.1, -0.1, -0.19])


def test_a_run_that_begins_lower_than_what_it_was_given_is_below_it() -> None:
    curve = Curve()
    curve.on_external(0.0, 1_000.0)

    curve.put(Point(1, 950.0, 0.0))

    assert list(curve.fallen) == pytest.approx([-0.05])


@pytest.mark.parametrize("share", ["-0.5", "2"])
def test_what_is_told_of_a_run_is_no_other_drawdown_after_money_came_or_went(
    recorded: Path, share: str
) -> None:
    with closing(Followed(recorded / "runs" / "demo")) as run:
        while not run.advance(0.0):
            pass
        replica = run.replica
        replica.line.peak *= 1.25  # it was higher once
        before, stamps = views.run(run), len(replica.line.fallen)
        cash = replica.portfolio.ledger.balances("BINANCE")["USDT"]

        moved = BalanceChanged(replica.state.now + 1, "BINANCE", "USDT", cash * Decimal(share), "by hand")
        replica.take([Record(replica.seq + 1, False, moved)])
        after = views.run(run)

    assert before.drawdown < 0
    assert after.equity != pytest.approx(before.equity, rel=0.01)
    assert after.drawdown == pytest.approx(before.drawdown, abs=1e-9)
    assert len(replica.line.fallen) == stamps == len(replica.curve[0])
