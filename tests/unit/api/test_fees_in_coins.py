"""What the API tells of fees in a coin that nothing prices."""

from decimal import Decimal

import pytest

from abidance.api import views
from abidance.journal.record import Record, RunHeader
from abidance.model.event import BalanceChanged, OrderFilled
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Side
from abidance.run.config import load
from abidance.run.replica import Replica

D = Decimal
ID, NAME = "BTC/USDT@BINANCE", "EmaCross"


def test_the_coin_counts_in_its_wallet_and_the_fill_says_for_how_much() -> None:
    given = {"instruments": [ID], "strategies": [{"strategy": NAME}], "name": "coins"}
    config = load([], given, {}).ready().model_dump(mode="json")
    instrument = Instrument(ID, D("0.01"), D("0.00001"), D("0.00001"), D(5))
    replica = Replica(RunHeader("r", "coins", "live", 0, "0", "hash", config, (instrument,)))
    amounts = D("0.5"), D(60_000), D("0.045")
    in_coin = Fill("1", "o", ID, NAME, Side.BUY, *amounts, "BNB", 1, fee_worth=D(30))
    in_quote = Fill("2", "o", ID, NAME, Side.SELL, *amounts[:2], D(30), "USDT", 2)
    events: list[BalanceChanged | OrderFilled] = [
        BalanceChanged(0, "BINANCE", "USDT", D(50_000), "opening"),
        OrderFilled(1, in_coin),
        OrderFilled(2, in_quote),
    ]

    replica.take([Record(number, False, event) for number, event in enumerate(events, 1)])

    values = {each.asset: each.value for each in views.balances(replica)}
    assert [views.fill(each).fee_worth for each in replica.fills] == [30, None]
    assert values == {"USDT": pytest.approx(49_970), "BTC": 0, "BNB": pytest.approx(-30)}
    assert sum(values.values()) == pytest.approx(replica.state.equity()) == pytest.approx(49_940)
    replica.close()
