"""The matching core keeps price and time priority, and never loses or invents a lot."""

from hypothesis import given
from hypothesis import strategies as st

from abidance.testing.exchange.core import BUY, SELL, Book, Change, Force, Print


def filled(*orders: tuple[int, int, int]) -> Book:
    book = Book()
    for side, lots, price in orders:
        book.submit(0, "maker", side, lots, price)
    return book


def test_a_taker_gets_the_best_price_first_and_at_one_price_the_oldest_order_first():
    book = Book()
    late = book.submit(0, "a", SELL, 5, 101).order
    first = book.submit(1, "b", SELL, 5, 100).order
    second = book.submit(2, "c", SELL, 5, 100).order

    prints = book.submit(3, "taker", BUY, 12, 101).prints

    assert [(each.maker, each.price, each.lots) for each in prints] == [
        (first, 100, 5),
        (second, 100, 5),
        (late, 101, 2),
    ]
    assert [each.buyer_is_taker for each in prints] == [True, True, True]


def test_what_does_not_trade_rests_at_its_limit():
    book = filled((SELL, 5, 100))

    answer = book.submit(1, "taker", BUY, 8, 100)

    assert answer.order.left == 3
    assert book.levels(BUY) == [(100, 3)]
    assert book.levels(SELL) == []


def test_an_order_without_a_price_takes_what_there_is_and_never_rests():
    book = filled((SELL, 5, 100), (SELL, 5, 200))

    answer = book.submit(1, "taker", BUY, 20)

    assert [each.price for each in answer.prints] == [100, 200]
    assert answer.order.left == 10
    assert book.levels(BUY) == []


def test_immediate_or_cancel_leaves_nothing_behind():
    book = filled((SELL, 5, 100))

    answer = book.submit(1, "taker", BUY, 8, 100, Force.IOC)

    assert (answer.order.left, book.levels(BUY)) == (3, [])


def test_fill_or_kill_trades_whole_or_not_at_all():
    book = filled((SELL, 5, 100), (SELL, 5, 101))

    short = book.submit(1, "taker", BUY, 8, 100, Force.FOK)
    whole = book.submit(1, "taker", BUY, 8, 101, Force.FOK)

    assert (short.refusal, short.prints) == ("it cannot trade whole", [])
    assert sum(each.lots for each in whole.prints) == 8


def test_a_maker_only_order_that_would_trade_is_refused_without_a_trace():
    book = filled((SELL, 5, 100))

    answer = book.submit(1, "maker", BUY, 5, 100, Force.POST)

    assert answer.refusal == "it would trade at once"
    assert book.levels(BUY) == []
    assert answer.order.id not in book.orders


def test_orders_that_cannot_be_are_refused():
    book = Book()

    refusals = [
        book.submit(0, "x", BUY, 0, 100).refusal,
        book.submit(0, "x", BUY, -5, 100).refusal,
        book.submit(0, "x", BUY, 5, 0).refusal,
        book.submit(0, "x", 0, 5, 100).refusal,
    ]

    assert all(refusals)
    assert book.update == 0


def test_a_cancelled_order_leaves_its_level_and_is_cancelled_once():
    book = filled((BUY, 5, 100), (BUY, 3, 100))
    first = next(book.resting(BUY))

    found, again = book.cancel(first.id), book.cancel(first.id)

    assert (found, again) == (first, None)
    assert first.left == 5
    assert book.levels(BUY) == [(100, 3)]


def test_every_change_of_a_level_is_told_once_with_the_next_number():
    book, told = Book(first_update=10), list[Change]()
    book.on_change = told.append

    book.submit(0, "a", SELL, 5, 100)
    book.submit(0, "b", BUY, 2, 100)
    book.submit(0, "b", BUY, 3, 100)

    assert told == [Change(11, SELL, 100, 5), Change(12, SELL, 100, 3), Change(13, SELL, 100, 0)]


orders = st.lists(
    st.tuples(
        st.sampled_from([BUY, SELL]),
        st.integers(1, 50),
        st.one_of(st.none(), st.integers(90, 110)),
        st.sampled_from(list(Force)),
        st.integers(0, 20),
    ),
    max_size=80,
)


@given(orders)
def test_no_lot_is_lost_the_book_never_crosses_and_the_changes_tell_all_of_it(
    script: list[tuple[int, int, int | None, Force, int]],
):
    book, prints, ladder = Book(), list[Print](), dict[tuple[int, int], int]()
    book.on_print = prints.append

    def told(change: Change) -> None:
        ladder[change.side, change.price] = change.lots

    book.on_change = told
    everything = []

    for at, (side, lots, price, force, victim) in enumerate(script):
        everything.append(book.submit(at, "x", side, lots, price, force).order)
        if victim < len(everything) and victim % 3 == 0:
            book.cancel(everything[victim].id)

    traded = {order.id: 0 for order in everything}
    for each in prints:
        assert each.maker is not None
        assert each.taker is not None
        traded[each.maker.id] += each.lots
        traded[each.taker.id] += each.lots
        assert each.maker.side == -each.taker.side
    assert all(order.lots - order.left == traded[order.id] for order in everything)
    bid, ask = book.best(BUY), book.best(SELL)
    assert bid is None or ask is None or bid < ask
    shown = {place: lots for place, lots in ladder.items() if lots}
    assert shown == {(side, price): lots for side in (BUY, SELL) for price, lots in book.levels(side)}
    resting = sum(order.left for order in book.orders.values())
    assert resting == sum(shown.values())
    assert [each.id for each in prints] == list(range(1, len(prints) + 1))
