"""Money on the local exchange: whatever accounts do, they have what came less what they paid, to the last digit."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.model.instrument import SECOND_NS
from abidance.testing.exchange import Account, Market
from abidance.testing.exchange.core import BUY, SELL, Force
from abidance.testing.exchange.desk import Declined, Desk, Placed, State, Ticket
from abidance.testing.exchange.stage import generated

START = 1_700_000_000 * SECOND_NS
D = Decimal

acts = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 3_000),
        st.one_of(st.none(), st.integers(-400, 400)),
        st.sampled_from(list(Force)),
        st.one_of(st.none(), st.integers(-300, 300)),
        st.sampled_from(["stay", "cancel", "amend", "reduce"]),
    ),
    max_size=20,
)


def opened(id: str, accounts: list[Account]) -> tuple[Market, Desk]:
    """Return a market and a desk with its accounts' money."""
    truth, desk = generated(id, 7, START, pace=50.0, past_seconds=600), Desk(accounts)
    truth.on_print = lambda found: desk.on_print(truth, found)
    truth.begin(START)
    for account in accounts:
        for asset, amount in (("USDT", 60_000), ("BTC", 3)):
            desk.transfer(account, asset, D(amount), START)
    return truth, desk


def play(truth: Market, desk: Desk, told: list[Any]) -> None:
    """Let accounts do what was drawn, a second apart."""
    one, two = desk.accounts.values()
    now = START
    for at, (second, side, lots, offset, force, trigger, then) in enumerate(told):
        now += SECOND_NS
        truth.advance(now)
        while desk.release(now):
            pass
        last, account = truth.tape.price[-1], two if second else one
        price = None if offset is None else last + offset * 10
        ticket = Ticket(
            f"c{at}",
            side,
            lots,
            price,
            None if trigger is None else last + trigger,
            force,
            reduces=then == "reduce",
        )
        try:
            order = desk.place(account, truth, ticket, now)
            if then == "cancel":
                desk.cancel(order, now)
            elif then == "amend":
                desk.amend(order, now, lots=lots + 7, price=None if price is None else price - 30)
        except Declined:
            continue
        finally:
            while desk.release(now):
                pass


def booked(account: Account, asset: str) -> Decimal:
    return sum((line.amount for line in account.ledger if line.asset == asset), D(0))


def traded(desk: Desk, account: Account) -> list[tuple[Placed, Any]]:
    return [
        (order, part) for order in desk.orders.values() if order.account is account for part in order.parts
    ]


@settings(max_examples=80, deadline=None)
@given(acts, st.booleans())
def test_spot_money_is_what_came_and_what_was_traded_less_the_fees(told: list[Any], in_quote: bool) -> None:
    truth, desk = opened("BTC/USDT@BYBIT", [Account("1", "s"), Account("2", "s")])
    desk.fees_in_quote = in_quote
    play(truth, desk, told)

    rules = truth.instrument
    for account in desk.accounts.values():
        have = {"USDT": D(60_000), "BTC": D(3)}
        for order, part in traded(desk, account):
            quantity = part.lots * rules.lot
            have["BTC"] += order.ticket.side * quantity
            have["USDT"] -= order.ticket.side * quantity * part.price * rules.tick
            have[part.fee_asset] -= part.fee
        for asset, amount in have.items():
            purse = account.purse(asset)
            assert purse.total == amount == booked(account, asset)
            kept = [each for each in desk.of(account) if desk_asset(each) == asset]
            assert purse.locked == sum(each.locked for each in kept)
            assert all(each.locked >= 0 for each in kept)


@settings(max_examples=80, deadline=None)
@given(acts)
def test_a_perpetuals_money_is_what_was_paid_plus_what_is_still_open(told: list[Any]) -> None:
    truth, desk = opened("BTC/USDT:USDT@BYBIT", [Account("1", "s"), Account("2", "s")])
    play(truth, desk, told)

    rules = truth.instrument
    for account in desk.accounts.values():
        held = desk.clearing.position(account, truth)
        lots, paid, fees = 0, D(0), D(0)
        for order, part in traded(desk, account):
            lots += order.ticket.side * part.lots
            paid += order.ticket.side * part.lots * rules.lot * part.price * rules.tick
            fees += part.fee
        other = sum((each.amount for each in account.ledger if each.why in ("funding", "insurance")), D(0))
        assert held.lots == lots
        assert (
            account.purse("USDT").total == 60_000 - paid - fees + held.cost + other == booked(account, "USDT")
        )
        assert account.purse("USDT").locked == sum(each.locked for each in desk.of(account))


@settings(max_examples=40, deadline=None)
@given(acts)
def test_the_history_alone_tells_every_order_and_fill(told: list[Any]) -> None:
    truth, desk = opened("BTC/USDT@BINANCE", [Account("1", "s"), Account("2", "s")])
    play(truth, desk, told)

    states: dict[int, State | None] = {}
    fills: dict[int, int] = {}
    for entry in desk.history:
        if entry.order:
            states[entry.order] = entry.state
            fills[entry.order] = fills.get(entry.order, 0) + (entry.part.lots if entry.part else 0)
    assert states == {order.id: order.state for order in desk.orders.values()}
    assert fills == {order.id: order.filled for order in desk.orders.values()}
    assert [each.ts for each in desk.history] == sorted(each.ts for each in desk.history)


def desk_asset(order: Placed) -> str:
    rules = order.market.instrument
    return rules.quote if order.ticket.side == BUY else rules.base
