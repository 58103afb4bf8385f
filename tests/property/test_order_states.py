"""Orders stay legal whatever a venue says: twice, late, out of order, against its own word, about strangers."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from abidance.execution.orders import Anomaly, AnomalyCode, Orders
from abidance.model.command import Amend
from abidance.model.event import (
    AccountEvent,
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
from abidance.model.order import LEGAL, Fill, Order, OrderRequest, OrderState, Purpose, Side
from abidance.model.outcome import Approved

NAMES = ("a", "b", "c")
INSTRUMENTS = {"a": "BTC/USDT@BINANCE", "b": "BTC/USDT@BINANCE", "c": "ETH/USDT@BINANCE"}
QUANTITY = Decimal(10)
ids = st.sampled_from([*NAMES, "stranger"])
times = st.integers(0, 300 * SECOND_NS)
numbers = st.decimals("1", "12", places=0)


@st.composite
def fills(draw: st.DrawFn) -> OrderFilled:
    ts, order_id = draw(times), draw(ids)
    amounts = (draw(numbers), Decimal(100), Decimal("0.1"))
    instrument = INSTRUMENTS.get(order_id, "BTC/USDT@BINANCE")
    fill = Fill(draw(st.sampled_from("123456")), order_id, instrument, "s", Side.BUY, *amounts, "USDT", ts)
    return OrderFilled(ts, fill)


said = st.one_of(
    fills(),
    fills(),
    st.builds(OrderAccepted, times, ids),
    st.builds(OrderRejected, times, ids, st.just("filter")),
    st.builds(OrderUnknown, times, ids, st.just("timeout")),
    st.builds(OrderAbandoned, times, ids, st.just("absent")),
    st.builds(OrderCancelled, times, ids),
    st.builds(OrderExpired, times, ids),
    st.builds(OrderAmended, times, ids, numbers, st.none() | numbers, st.none()),
    st.builds(ChangeRejected, times, ids, st.just("busy")),
)
asked = st.one_of(
    st.builds(CancelRequest, ids), st.builds(AmendRequest, ids, st.none() | numbers, st.none() | numbers)
)
Step = AccountEvent | CancelRequest | AmendRequest | int
histories: st.SearchStrategy[list[Step]] = st.lists(st.one_of(said, said, asked, times), max_size=50)


def fresh() -> Orders:
    orders = Orders()
    for name in NAMES:
        request = OrderRequest(
            "s", INSTRUMENTS[name], Side.BUY, QUANTITY, purpose=Purpose.ENTRY, expire_after=60
        )
        orders.create(Approved(request), name, 0)
    return orders


def step(orders: Orders, item: Step) -> object:
    """Let one thing happen: news, a wish, or the passing of time."""
    if isinstance(item, int):
        return orders.due(item)
    if isinstance(item, CancelRequest):
        return orders.cancel(item, 0)
    if isinstance(item, AmendRequest):
        return orders.amend(item, 0)
    return orders.apply(item)


def is_legal(before: Order, after: Order) -> bool:
    return after.state is before.state or after.state in LEGAL[before.state]


@given(histories)
def test_states_move_legally_and_fills_never_shrink(history: list[Step]) -> None:
    orders = fresh()

    for item in history:
        before = {order.id: order for order in orders.all()}
        answer = step(orders, item)

        for order in orders.all():
            old = before[order.id]
            assert is_legal(old, order)
            assert order.filled >= old.filled
            assert order.ts_last >= old.ts_last
            changed = order is not old
            assert changed == (isinstance(answer, Order) and answer is order)


@given(histories)
def test_the_indexes_of_open_orders_tell_the_truth(history: list[Step]) -> None:
    orders = fresh()

    for item in history:
        step(orders, item)

        is_open = {order.id: order for order in orders.all() if not order.state.is_closed}
        assert {order.id: order for order in orders.open()} == is_open
        for instrument in set(INSTRUMENTS.values()):
            expected = {i for i, order in is_open.items() if order.request.instrument == instrument}
            assert {order.id for order in orders.open(instrument=instrument)} == expected
        assert all(orders.change_of(name) is None for name in NAMES if name not in is_open)


@given(histories)
def test_an_order_holds_the_sum_of_its_fills_each_counted_once(history: list[Step]) -> None:
    orders = fresh()

    for item in history:
        step(orders, item)

    keys = [(fill.instrument, fill.id) for fill in orders.fills]
    assert len(keys) == len(set(keys))
    for order in orders.all():
        own = [fill for fill in orders.fills if fill.order_id == order.id]
        assert order.filled == sum((fill.quantity for fill in own), Decimal(0))
        assert order.cost == sum((fill.quantity * fill.price for fill in own), Decimal(0))
        assert (order.ts_first_fill is None) == (not own)
        if order.state in (OrderState.REJECTED, OrderState.ABANDONED):
            assert not own
        if order.state is OrderState.FILLED:
            assert order.filled >= order.request.quantity


@given(histories)
def test_news_either_changes_an_order_or_is_noted(history: list[Step]) -> None:
    orders = fresh()

    for item in history:
        pending = None if isinstance(item, int) else orders.change_of(getattr(item, "order_id", ""))
        answer = step(orders, item)
        noted = orders.take_anomalies()

        if isinstance(item, int | CancelRequest | AmendRequest):
            assert not noted
        elif isinstance(item, ChangeRejected) and pending is not None:
            assert answer is None
            assert not noted
        else:
            assert (answer is None) == any(is_refusal(anomaly) for anomaly in noted)


def is_refusal(anomaly: Anomaly) -> bool:
    return anomaly.code not in (AnomalyCode.OVERFILL, AnomalyCode.LATE_FILL)


@given(histories)
def test_the_worst_case_covers_whatever_open_orders_may_still_fill(history: list[Step]) -> None:
    orders = fresh()

    for item in history:
        step(orders, item)

        worst = orders.pending_entries()
        for instrument in set(INSTRUMENTS.values()):
            least = sum(
                (max(o.remaining, Decimal(0)) for o in orders.open(instrument=instrument)), Decimal(0)
            )
            assert worst.get((instrument, Side.BUY), Decimal(0)) >= least
        for name in NAMES:
            change, order = orders.change_of(name), orders.get(name)
            if isinstance(change, Amend) and change.quantity is not None:
                assert order is not None
                key = (order.request.instrument, Side.BUY)
                assert worst[key] >= change.quantity - order.filled


@given(histories, st.integers(1, 3))
def test_hearing_everything_again_books_no_fill_twice(history: list[Step], times_told: int) -> None:
    once, often = fresh(), fresh()

    for item in history:
        step(once, item)
        for _ in range(times_told):
            step(often, item)

    assert often.fills == once.fills
    assert [order.filled for order in often.all()] == [order.filled for order in once.all()]


@given(histories)
def test_a_replay_ends_in_the_same_state(history: list[Step]) -> None:
    one, other = fresh(), fresh()

    answers = [step(one, item) for item in history]
    replayed = [step(other, item) for item in history]

    assert answers == replayed
    assert one.all() == other.all()
    assert one.take_anomalies() == other.take_anomalies()


NEWS = [
    OrderAccepted(1, "a"),
    OrderFilled(
        5, Fill("1", "a", INSTRUMENTS["a"], "s", Side.BUY, Decimal(4), Decimal(100), Decimal(0), "USDT", 5)
    ),
    OrderFilled(
        6, Fill("2", "a", INSTRUMENTS["a"], "s", Side.BUY, Decimal(5), Decimal(101), Decimal(0), "USDT", 6)
    ),
    OrderCancelled(9, "a"),
]


@given(st.permutations(NEWS))
def test_the_same_news_in_any_order_fills_the_same(news: list[AccountEvent]) -> None:
    orders = fresh()

    for item in news:
        orders.apply(item)

    order = orders.get("a")
    assert order is not None
    assert (order.state, order.filled, order.cost) == (OrderState.CANCELLED, Decimal(9), Decimal(905))
