from decimal import Context, Decimal, localcontext

import pytest

from abidance.model.errors import InvariantError
from abidance.model.event import BalanceChanged, FundingPaid
from abidance.model.instrument import Instrument
from abidance.model.order import Fill, Side
from abidance.portfolio.ledger import AccountKind, Ledger, fill_ref, funding_ref

SPOT = Instrument("BTC/USDT@BINANCE", Decimal("0.01"), Decimal("0.00001"), Decimal("0.00001"), Decimal(5))
PERPETUAL = Instrument("BTC/USDT:USDT@BYBIT", Decimal("0.1"), Decimal("0.001"), Decimal("0.001"), Decimal(5))


def fill(
    side: Side = Side.BUY,
    quantity: str = "1",
    price: str = "100",
    fee: str = "0",
    fee_asset: str = "USDT",
    *,
    id: str = "1",
    instrument: Instrument = SPOT,
) -> Fill:
    amounts = (Decimal(quantity), Decimal(price), Decimal(fee))
    return Fill(id, "order", instrument.id, "trend", side, *amounts, fee_asset, ts=7)


def test_a_spot_purchase_moves_base_quote_and_fee() -> None:
    ledger = Ledger()

    assert ledger.post_fill(fill(quantity="0.5", fee="0.05"), SPOT)

    assert ledger.balances("BINANCE") == {"BTC": Decimal("0.5"), "USDT": Decimal("-50.05")}
    assert set(ledger.totals().values()) == {Decimal(0)}


def test_a_spot_sale_pays_its_fee_in_a_third_asset() -> None:
    ledger = Ledger()

    ledger.post_fill(fill(Side.SELL, fee="0.01", fee_asset="BNB"), SPOT)

    assert ledger.balances("BINANCE") == {
        "BTC": Decimal(-1),
        "USDT": Decimal(100),
        "BNB": Decimal("-0.01"),
    }


def test_a_perpetual_moves_no_base_and_settles_profit_in_quote() -> None:
    ledger = Ledger()

    ledger.post_fill(fill(fee="0.1", instrument=PERPETUAL), PERPETUAL)
    ledger.post_fill(
        fill(Side.SELL, price="110", fee="0.1", id="2", instrument=PERPETUAL), PERPETUAL, Decimal(10)
    )

    assert ledger.balances("BYBIT") == {"USDT": Decimal("9.8")}
    assert ledger.totals() == {"USDT": Decimal(0)}


def test_a_fill_counts_once_and_the_same_id_of_another_instrument_is_another_fill() -> None:
    ledger = Ledger()
    other = Instrument("ETH/USDT@BINANCE", SPOT.tick, SPOT.lot, SPOT.min_quantity, SPOT.min_notional)

    posted = [ledger.post_fill(fill(), SPOT), ledger.post_fill(fill(), SPOT)]
    posted.append(ledger.post_fill(fill(instrument=other), other))

    assert posted == [True, False, True]
    assert ledger.balance("BINANCE", "USDT") == -200


def test_the_same_funding_counts_once_and_another_payment_counts_again() -> None:
    ledger = Ledger()
    event = FundingPaid(9, PERPETUAL.id, "trend", Decimal("-0.5"), "USDT")
    again = FundingPaid(9, PERPETUAL.id, "trend", Decimal("-0.50"), "USDT")
    later = FundingPaid(10, PERPETUAL.id, "trend", Decimal("-0.5"), "USDT")

    posted = [ledger.post_funding(e, "BYBIT") for e in (event, again, later)]

    assert posted == [True, False, True]
    assert ledger.balance("BYBIT", "USDT") == -1
    assert len(ledger.explain(funding_ref(event))) == 2


def test_equal_deposits_both_count_because_they_carry_no_id() -> None:
    ledger = Ledger()

    for _ in range(2):
        ledger.post_external(BalanceChanged(1, "BINANCE", "USDT", Decimal(100), "deposit"))

    assert ledger.balance("BINANCE", "USDT") == 200


def test_rounding_is_never_in_our_favour() -> None:
    ledger = Ledger()
    tiny = "0.0000000000015"

    ledger.post_fill(fill(quantity="1", price=tiny, id="buy"), SPOT)
    ledger.post_fill(fill(Side.SELL, quantity="1", price=tiny, id="sell"), SPOT)
    ledger.post_fill(fill(quantity="1", price="1", fee="-" + tiny, fee_asset="BNB", id="rebate"), SPOT)
    ledger.post_external(BalanceChanged(1, "BINANCE", "X", Decimal(tiny), "deposit"))

    wallet = {
        e.ref: e.amount
        for e in ledger.entries()
        if e.account.kind is AccountKind.WALLET and e.asset == "USDT"
    }
    assert wallet["BTC/USDT@BINANCE#buy"] == Decimal("-0.000000000002")
    assert wallet["BTC/USDT@BINANCE#sell"] == Decimal("0.000000000001")
    assert ledger.balance("BINANCE", "BNB") == Decimal("0.000000000001")
    assert ledger.balance("BINANCE", "X") == Decimal("0.000000000001")


def test_every_amount_of_a_fill_is_explained_by_its_reference() -> None:
    ledger = Ledger()
    bought = fill(quantity="2", fee="0.002", fee_asset="BTC")
    ledger.post_fill(bought, SPOT)

    lines = [e for e in ledger.explain(fill_ref(bought)) if e.account.kind is AccountKind.WALLET]

    assert [(e.asset, e.amount, e.kind) for e in lines] == [
        ("BTC", Decimal(2), AccountKind.TRADING),
        ("USDT", Decimal(-200), AccountKind.TRADING),
        ("BTC", Decimal("-0.002"), AccountKind.FEES),
    ]
    assert ledger.explain("nothing of the kind") == ()


def test_long_amounts_stay_exact_whatever_the_context_of_the_thread() -> None:
    ledger = Ledger()

    with localcontext(Context(prec=6)):
        ledger.post_fill(fill(quantity="123456789012345678.12345678", price="98765.432109"), SPOT)

    with localcontext(Context(prec=60)):
        exact = Decimal("123456789012345678.12345678") * Decimal("98765.432109")
        missing = -ledger.balance("BINANCE", "USDT") - exact
    assert 0 <= missing < Decimal("1e-12")


@pytest.mark.parametrize(
    ("quantity", "price", "fee"),
    [
        ("NaN", "1", "0"),
        ("1", "Infinity", "0"),
        ("0", "1", "0"),
        ("-1", "1", "0"),
        ("1", "-1", "0"),
        ("1e24", "1", "0"),
    ],
)
def test_a_fill_that_cannot_be_money_is_refused_and_nothing_is_booked(
    quantity: str, price: str, fee: str
) -> None:
    ledger = Ledger()

    with pytest.raises(InvariantError):
        ledger.post_fill(fill(quantity=quantity, price=price, fee=fee), SPOT)

    assert list(ledger.entries()) == []


def test_a_fill_of_another_instrument_is_refused() -> None:
    with pytest.raises(InvariantError):
        Ledger().post_fill(fill(), PERPETUAL)


def test_amounts_from_outside_must_be_numbers() -> None:
    with pytest.raises(InvariantError):
        Ledger().post_external(BalanceChanged(1, "BINANCE", "USDT", Decimal("NaN"), "deposit"))


def test_an_unknown_venue_holds_nothing() -> None:
    ledger = Ledger()

    assert ledger.balance("KRAKEN", "USDT") == 0
    assert ledger.balances("KRAKEN") == {}
    assert ledger.venues() == ()
