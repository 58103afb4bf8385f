from decimal import Decimal

import msgspec
import pytest

from abidance.execution.orders import CHANGE_PATIENCE, AnomalyCode, Orders
from abidance.model.command import Amend, Cancel, Submit
from abidance.model.errors import InvariantError
from abidance.model.event import (
    AccountEvent,
    BalanceChanged,
    ChangeRejected,
    OrderAbandoned,
    OrderAccepted,
    OrderAmended,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderUnknown,
)
from abidance.model.instrument import SECOND_NS
from abidance.model.intent import AmendRequest, CancelRequest
from abidance.model.order import Fill, OrderRequest, OrderState, OrderType, Purpose, Side
from abidance.model.outcome import Approved

BTC, ETH = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE"


def send(
    orders: Orders,
    order_id: str = "a",
    *,
    instrument: str = BTC,
    strategy: str = "trend",
    purpose: Purpose = Purpose.ENTRY,
    expire_after: int | None = None,
    ts: int = 0,
) -> Submit:
    request = OrderRequest(
        strategy,
        instrument,
        Side.BUY,
        Decimal(10),
        OrderType.LIMIT,
        price=Decimal(100),
        purpose=purpose,
        expire_after=expire_after,
    )
    return orders.create(Approved(request), order_id, ts)


def filled(
    quantity: str = "10",
    id: str = "1",
    *,
    order_id: str = "a",
    price: str = "100",
    side: Side = Side.BUY,
    ts: int = 5,
) -> OrderFilled:
    amounts = (Decimal(quantity), Decimal(price), Decimal("0.1"))
    return OrderFilled(ts, Fill(id, order_id, BTC, "trend", side, *amounts, "USDT", ts=ts))


def play(*events: AccountEvent) -> Orders:
    orders = Orders()
    send(orders)
    for event in events:
        orders.apply(event)
    return orders


def state(orders: Orders, order_id: str = "a") -> OrderState:
    order = orders.get(order_id)
    assert order is not None
    return order.state


def test_an_order_is_sent_from_the_moment_its_command_leaves() -> None:
    orders = Orders()

    command = send(orders, ts=3)

    order = orders.get("a")
    assert order is not None
    assert (command.order_id, command.ts, command.request) == ("a", 3, order.request)
    assert (order.state, order.ts_intent) == (OrderState.SENT, 3)
    assert orders.open() == (order,)


def test_an_order_id_is_used_once_for_ever() -> None:
    orders = play(OrderRejected(1, "a", "filter"))

    with pytest.raises(InvariantError):
        send(orders)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([OrderAccepted(1, "a")], OrderState.OPEN),
        ([OrderUnknown(1, "a", "timeout")], OrderState.UNKNOWN),
        ([OrderUnknown(1, "a", "timeout"), OrderAccepted(2, "a")], OrderState.OPEN),
        ([OrderUnknown(1, "a", "timeout"), OrderAbandoned(2, "a", "absent")], OrderState.ABANDONED),
        ([OrderRejected(1, "a", "filter")], OrderState.REJECTED),
        ([filled("4")], OrderState.PARTIAL),
        ([filled("4"), OrderUnknown(6, "a", "timeout"), OrderAccepted(7, "a")], OrderState.PARTIAL),
        ([filled("4"), filled("6", "2")], OrderState.FILLED),
        ([filled(), OrderAccepted(6, "a")], OrderState.FILLED),
        ([OrderAccepted(1, "a"), OrderExpired(2, "a")], OrderState.EXPIRED),
        ([filled("4"), OrderCancelled(6, "a")], OrderState.CANCELLED),
        ([OrderCancelled(1, "a"), filled("4")], OrderState.CANCELLED),
        ([OrderCancelled(1, "a"), filled()], OrderState.FILLED),
        ([OrderRejected(1, "a", "filter"), filled("4")], OrderState.PARTIAL),
    ],
)
def test_an_order_moves_where_it_may(events: list[AccountEvent], expected: OrderState) -> None:
    orders = play(*events)

    assert state(orders) is expected
    assert bool(orders.open()) is not expected.is_closed
    assert bool(orders.open(instrument=BTC)) is not expected.is_closed


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([filled(), OrderAccepted(6, "a")], AnomalyCode.STALE),
        ([filled(), OrderCancelled(6, "a")], AnomalyCode.STALE),
        ([OrderCancelled(1, "a"), OrderCancelled(1, "a")], AnomalyCode.DUPLICATE),
        ([OrderAccepted(1, "a"), OrderAccepted(1, "a")], AnomalyCode.DUPLICATE),
        ([OrderRejected(1, "a", "filter"), OrderAccepted(2, "a")], AnomalyCode.CONTRADICTION),
        ([filled("4"), OrderRejected(6, "a", "filter")], AnomalyCode.CONTRADICTION),
        ([OrderAbandoned(1, "a", "no proof was asked for")], AnomalyCode.CONTRADICTION),
        ([filled("4"), filled("4")], AnomalyCode.DUPLICATE),
        ([filled("4"), filled("5")], AnomalyCode.CONFLICT),
        ([filled("4", side=Side.SELL)], AnomalyCode.MISMATCH),
        ([filled("NaN")], AnomalyCode.MALFORMED),
        ([OrderAmended(1, "a", Decimal(0), None, None)], AnomalyCode.MALFORMED),
        ([ChangeRejected(1, "a", "what change?")], AnomalyCode.STALE),
        ([OrderAccepted(1, "stranger")], AnomalyCode.ORPHAN),
        ([filled(order_id="stranger")], AnomalyCode.ORPHAN),
    ],
)
def test_what_does_not_fit_is_noted_and_changes_nothing(
    events: list[AccountEvent], code: AnomalyCode
) -> None:
    orders = play(*events[:-1])
    before = (orders.all(), tuple(orders.fills))

    answer = orders.apply(events[-1])

    assert answer is None
    assert (orders.all(), tuple(orders.fills)) == before
    assert [anomaly.code for anomaly in orders.take_anomalies()] == [code]
    assert orders.counts == {code: 1}
    assert orders.take_anomalies() == ()


def test_events_about_strangers_are_kept() -> None:
    event = filled(order_id="stranger")

    orders = play(event)

    assert list(orders.orphans) == [event]


def test_fills_beyond_the_quantity_are_booked_and_flagged() -> None:
    orders = play(filled("9"), filled("3", "2", price="110"))

    order = orders.get("a")
    assert order is not None
    assert (order.state, order.filled, order.cost, order.fees) == (
        OrderState.FILLED,
        Decimal(12),
        Decimal(1230),
        Decimal("0.2"),
    )
    assert orders.counts == {AnomalyCode.OVERFILL: 1}


@pytest.mark.parametrize(("worth", "fees"), [(Decimal("0.7"), "0.7"), (msgspec.UNSET, "0")])
def test_a_fee_in_a_third_asset_counts_as_what_it_stands_for(
    worth: Decimal | msgspec.UnsetType, fees: str
) -> None:
    event = filled()
    fill = msgspec.structs.replace(event.fill, fee_asset="BNB", fee_worth=worth)

    order = play(msgspec.structs.replace(event, fill=fill)).get("a")

    assert order is not None
    assert order.fees == Decimal(fees)


def test_a_late_fill_on_a_cancelled_order_is_booked_and_flagged() -> None:
    orders = play(OrderCancelled(3, "a", "by us"), filled("4"))

    order = orders.get("a")
    assert order is not None
    assert (order.filled, order.reason, len(orders.fills)) == (Decimal(4), "by us", 1)
    assert orders.counts == {AnomalyCode.LATE_FILL: 1}


def test_the_first_fill_is_the_earliest_whatever_the_order_of_the_news() -> None:
    orders = play(filled("4", ts=9), filled("4", "2", ts=6), OrderAccepted(1, "a"))

    order = orders.get("a")
    assert order is not None
    assert (order.ts_first_fill, order.ts_last) == (6, 9)


def test_open_orders_can_be_asked_by_strategy_and_instrument() -> None:
    orders = Orders()
    send(orders, "a")
    send(orders, "b", instrument=ETH)
    send(orders, "c", strategy="other")

    def ids(strategy: str | None = None, instrument: str | None = None) -> list[str]:
        return [order.id for order in orders.open(strategy, instrument)]

    assert ids() == ["a", "b", "c"]
    assert ids(instrument=BTC) == ["a", "c"]
    assert ids("trend") == ["a", "b"]
    assert ids("other", ETH) == []
    assert ids(instrument="XRP/USDT@BINANCE") == []


def test_pending_entries_count_the_worst_case() -> None:
    orders = Orders()
    send(orders, "a")
    send(orders, "b")
    send(orders, "exit", purpose=Purpose.STOP_LOSS)
    orders.apply(OrderUnknown(1, "a", "timeout"))
    orders.apply(filled("4", order_id="b"))
    orders.amend(AmendRequest("b", quantity=Decimal(20)), 6)
    orders.cancel(CancelRequest("b"), 6)

    worst = orders.pending_entries("trend", BTC)

    assert worst == {(BTC, Side.BUY): Decimal(26)}


def test_a_cancel_leaves_once_until_it_is_answered_or_overdue() -> None:
    orders = play(OrderAccepted(1, "a"))
    ask = CancelRequest("a")

    answers = [orders.cancel(ask, 5), orders.cancel(ask, 6), orders.cancel(ask, 5 + CHANGE_PATIENCE)]

    assert answers == [Cancel("a", 5), None, Cancel("a", 5 + CHANGE_PATIENCE)]
    assert orders.change_of("a") == Cancel("a", 5 + CHANGE_PATIENCE)


def test_a_refused_cancel_may_be_asked_again() -> None:
    orders = play(OrderAccepted(1, "a"))
    orders.cancel(CancelRequest("a"), 5)

    orders.apply(ChangeRejected(6, "a", "busy"))

    assert orders.change_of("a") is None
    assert orders.cancel(CancelRequest("a"), 6) == Cancel("a", 6)


def test_a_fill_that_wins_the_race_against_a_cancel_ends_the_cancel() -> None:
    orders = play(OrderAccepted(1, "a"))
    orders.cancel(CancelRequest("a"), 4)

    orders.apply(filled())
    orders.apply(ChangeRejected(6, "a", "already filled"))

    assert state(orders) is OrderState.FILLED
    assert orders.cancel(CancelRequest("a"), 7) is None
    assert orders.change_of("a") is None


def test_an_amend_is_in_force_when_the_venue_confirms_it() -> None:
    orders = play(OrderAccepted(1, "a"))

    command = orders.amend(AmendRequest("a", price=Decimal(99)), 4)
    before = orders.get("a")
    orders.apply(OrderAmended(5, "a", Decimal(10), Decimal(99), None))

    after = orders.get("a")
    assert command == Amend("a", None, Decimal(99), None, 4)
    assert before is not None
    assert after is not None
    assert (before.request.price, after.request.price) == (Decimal(100), Decimal(99))
    assert orders.change_of("a") is None


def test_an_amend_down_to_what_has_filled_completes_the_order() -> None:
    orders = play(filled("4"), OrderAmended(6, "a", Decimal(4), Decimal(100), None))

    assert state(orders) is OrderState.FILLED


@pytest.mark.parametrize(
    "request_",
    [
        AmendRequest("a"),
        AmendRequest("a", price=Decimal(100)),
        AmendRequest("a", quantity=Decimal(4)),
        AmendRequest("stranger", price=Decimal(99)),
    ],
)
def test_an_amend_that_means_nothing_does_not_leave(request_: AmendRequest) -> None:
    orders = play(filled("4"))

    assert orders.amend(request_, 6) is None


def test_an_order_that_may_not_exist_is_cancelled_but_not_amended() -> None:
    orders = play(OrderUnknown(1, "a", "timeout"))

    assert orders.amend(AmendRequest("a", price=Decimal(99)), 2) is None
    assert orders.cancel(CancelRequest("a"), 2) == Cancel("a", 2)


def test_no_amend_leaves_behind_a_cancel() -> None:
    orders = play(OrderAccepted(1, "a"))
    orders.cancel(CancelRequest("a"), 2)

    assert orders.amend(AmendRequest("a", price=Decimal(99)), 3) is None


def test_an_order_past_its_time_is_cancelled_until_it_is_closed() -> None:
    orders = Orders()
    send(orders, expire_after=60)
    deadline = 60 * SECOND_NS

    early, due = orders.due(deadline - 1), orders.due(deadline)
    orders.apply(ChangeRejected(deadline, "a", "busy"))
    again = orders.due(deadline + CHANGE_PATIENCE)
    orders.apply(OrderCancelled(deadline + CHANGE_PATIENCE, "a"))

    assert (early, due) == ((), [Cancel("a", deadline)])
    assert again == [Cancel("a", deadline + CHANGE_PATIENCE)]
    assert list(orders.due(deadline * 10)) == []


def test_an_order_that_filled_in_time_is_not_cancelled() -> None:
    orders = Orders()
    send(orders, expire_after=60)
    orders.apply(filled())

    assert list(orders.due(3600 * SECOND_NS)) == []


def test_a_rejected_order_that_fills_keeps_its_time_limit() -> None:
    orders = Orders()
    send(orders, expire_after=60)
    orders.apply(OrderRejected(1, "a", "filter"))
    orders.due(60 * SECOND_NS)

    orders.apply(filled("4"))

    assert orders.due(61 * SECOND_NS) == [Cancel("a", 61 * SECOND_NS)]


def test_money_from_outside_is_no_order() -> None:
    orders = play(BalanceChanged(1, "BINANCE", "USDT", Decimal(1), "deposit"))

    assert orders.take_anomalies() == ()
    assert not orders.orphans
