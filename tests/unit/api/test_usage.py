"""What is told of limits that are used up, held against the gate that refuses entries by them."""

from decimal import Decimal

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.api.valuing import usage
from abidance.journal.record import Record
from abidance.model.event import OrderFilled
from abidance.model.order import Fill, OrderRequest, Side
from abidance.model.outcome import RefusalCode, Refused
from abidance.risk.config import RiskConfig
from abidance.risk.gate import Gate
from abidance.risk.state import ACTIVE
from abidance.run.replica import Replica
from tests.unit.api.conftest import logged_in

BTC = "BTC/USDT@BINANCE"
OF = {
    "max_exposure": RefusalCode.MAX_EXPOSURE,
    "max_positions": RefusalCode.MAX_POSITIONS,
    "max_asset_exposure": RefusalCode.MAX_ASSET_EXPOSURE,
    "max_venue_exposure": RefusalCode.MAX_VENUE_EXPOSURE,
}


def trade(replica: Replica, instrument: str, quantity: Decimal) -> None:
    """Take a fill, which buys or sells."""
    now, side = replica.state.now, Side.BUY if quantity > 0 else Side.SELL
    price = Decimal(str(replica.state.price(instrument)))
    fill = Fill(
        f"t {instrument}", "", instrument, "EmaCross", side, abs(quantity), price, Decimal(0), "USDT", now
    )
    replica.take([Record(replica.seq + 1, False, OrderFilled(now, fill))])


@pytest.mark.parametrize("limit", OF)
def test_a_limit_is_called_spent_exactly_where_the_gate_refuses_the_next_entry_by_it(
    nobody: TestClient, house: House, limit: str
) -> None:
    logged_in(nobody, house, "viewer")
    replica = house.runs.get("demo").replica
    other = next(each for each in replica.state.instruments if each != BTC)
    for instrument, quantity in (
        (BTC, Decimal("0.01")),
        (other, -replica.state.position("EmaCross", other).quantity),
    ):
        trade(replica, instrument, quantity)
    wide = {name: 50 if name == "max_positions" else 10.0 for name in OF} | {"stale_after": 1e9}
    limits = replica.limits.model_copy(update=wide | {"require_stop": False})
    found = set()

    for tight in range(8) if limit == "max_positions" else (0.05, 0.2, 0.5, 0.95, 1.5):
        replica.limits = limits.model_copy(update={limit: tight})
        told = next(
            each for each in usage(replica) if each.name in (limit, f"{limit} BTC", f"{limit} BINANCE")
        )
        instrument = other if limit == "max_positions" else BTC
        wish = OrderRequest(
            "EmaCross",
            instrument,
            Side.BUY,
            Decimal("0.0002") if instrument == BTC else Decimal("0.01"),
            decision_price=Decimal(60_000),
        )
        verdict = Gate(RiskConfig(limits=replica.limits)).check(wish, replica.state, ACTIVE)

        found.add(told.is_spent)
        assert told.is_spent == (isinstance(verdict, Refused) and verdict.code is OF[limit]), verdict

    assert found == {True, False}
