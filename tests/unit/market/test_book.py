import math
import zlib
from decimal import Decimal

import pytest

from abidance.market.book import BookRule, Continuity, OrderBook, Taken
from abidance.model.instrument import Instrument
from abidance.model.market import BookDelta, BookSnapshot
from abidance.model.order import Side

NAME = "BTC/USDT@BINANCE"
Levels = list[tuple[float, float]]
RANGE = BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,), snapshot_levels=3)
PREVIOUS = BookRule(Continuity.PREVIOUS, snapshot_in_stream=False, depths=(0,))
STEP = BookRule(Continuity.STEP, snapshot_in_stream=True, depths=(50, 200))
CHECKSUM = BookRule(Continuity.CHECKSUM, snapshot_in_stream=True, depths=(10, 25))
SECOND = 10**9


def pair(tick: str = "0.1", lot: str = "0.001") -> Instrument:
    return Instrument(NAME, Decimal(tick), Decimal(lot), Decimal(lot), Decimal(1))


def whole(last: int, bids: Levels, asks: Levels, checksum: int = -1, ts: int = 0) -> BookDelta:
    return BookDelta(ts, NAME, bids, asks, is_snapshot=True, last=last, checksum=checksum)


def change(
    first: int,
    last: int,
    bids: Levels | None = None,
    asks: Levels | None = None,
    *,
    ts: int = 0,
    previous: int = 0,
    checksum: int = -1,
) -> BookDelta:
    return BookDelta(
        ts, NAME, bids or [], asks or [], False, first, last, previous=previous, checksum=checksum
    )


def begun(rule: BookRule = RANGE, last: int = 10) -> OrderBook:
    book = OrderBook(pair(), rule)
    book.apply(whole(last, [(99.0, 1.0), (98.0, 2.0)], [(101.0, 3.0), (102.0, 4.0)]))
    return book


def test_levels_are_put_in_changed_and_taken_out() -> None:
    book = begun()

    taken = book.apply(change(11, 12, [(99.5, 5.0), (98.0, 0.0), (97.0, 0.0)], [(101.0, 6.0)]))

    assert taken is Taken.APPLIED
    assert book.top() == BookSnapshot(0, NAME, ((99.5, 5.0), (99.0, 1.0)), ((101.0, 6.0), (102.0, 4.0)))


def test_prices_come_back_as_the_very_floats_that_went_in() -> None:
    prices = [round(0.1 * at, 1) for at in range(1, 3000)]
    book = OrderBook(pair(), STEP)

    book.apply(whole(1, [(price, 1.0) for price in prices], []))

    assert [price for price, _ in book.top().bids] == prices[::-1]


def test_an_order_from_before_the_tick_was_made_coarser_stays_at_its_finer_price() -> None:
    book = OrderBook(pair("0.001"), STEP)

    taken = book.apply(whole(1, [(0.50579, 1.0), (0.5, 1.0)], []))

    assert taken is Taken.APPLIED
    assert book.best_bid == 0.50579


def test_levels_that_come_and_go_leave_no_trace_and_no_memory() -> None:
    book = begun(STEP)

    for at in range(5_000):
        price = 100.0 + at % 900 / 10
        book.apply(change(11 + 2 * at, 11 + 2 * at, asks=[(price + 1.0, 1.0)]))
        book.apply(change(12 + 2 * at, 12 + 2 * at, asks=[(price + 1.0, 0.0)]))

    assert book.is_whole
    assert len(book.top().asks) <= 2
    assert len(book._asks.keys) == len(book._asks.sizes) <= 257


def test_a_ladder_of_many_levels_in_any_order_is_sorted_at_once() -> None:
    prices = [round(0.1 * at, 1) for at in range(1, 100_001)]
    book = OrderBook(pair(), STEP)

    first = book.apply(whole(1, [(price, 1.0) for price in prices[::2]], []))
    second = book.apply(change(2, 2, [(price, 2.0) for price in prices[1::2][::-1]]))

    assert (first, second) == (Taken.APPLIED, Taken.APPLIED)
    assert [price for price, _ in book.top().bids] == prices[::-1]


@pytest.mark.parametrize("price", [100.00001, 1e300, math.inf, math.nan, -1.0, 0.0, 5e-324])
def test_a_price_that_no_tick_ever_had_drops_the_ladder(price: float) -> None:
    book = begun()

    taken = book.apply(change(11, 11, [(price, 1.0)]))

    assert taken is Taken.OFF_TICK
    assert not book.is_whole
    assert math.isnan(book.best_bid)


class TestRange:
    @pytest.mark.parametrize(("first", "last"), [(11, 11), (11, 20), (5, 11)])
    def test_what_joins_on_is_applied(self, first: int, last: int) -> None:
        assert begun().apply(change(first, last)) is Taken.APPLIED

    @pytest.mark.parametrize(("first", "last"), [(1, 10), (9, 9)])
    def test_what_is_known_is_ignored(self, first: int, last: int) -> None:
        book = begun()

        assert book.apply(change(first, last, [(99.0, 7.0)])) is Taken.OLD
        assert book.top().bids[0] == (99.0, 1.0)

    def test_a_gap_drops_the_ladder_and_says_which(self) -> None:
        book = begun()

        assert book.apply(change(12, 12)) is Taken.GAP
        assert book.reason == "update 12-12 does not follow 10"
        assert not book.is_whole
        assert book.quote() is None


class TestPrevious:
    def test_the_first_update_after_a_snapshot_may_span_its_number(self) -> None:
        assert begun(PREVIOUS).apply(change(8, 15, previous=7)) is Taken.APPLIED

    def test_an_update_that_ends_at_the_snapshots_number_may_be_the_first(self) -> None:
        assert begun(PREVIOUS).apply(change(8, 10, previous=7)) is Taken.APPLIED

    def test_an_update_that_begins_after_the_snapshot_leaves_a_gap(self) -> None:
        assert begun(PREVIOUS).apply(change(13, 15, previous=12)) is Taken.GAP

    def test_later_ones_must_name_the_last(self) -> None:
        book = begun(PREVIOUS)
        book.apply(change(8, 15, previous=7))

        assert book.apply(change(17, 20, previous=15)) is Taken.APPLIED
        assert book.apply(change(17, 20, previous=15)) is Taken.OLD
        assert book.apply(change(22, 25, previous=21)) is Taken.GAP


class TestStep:
    def test_numbers_rise_by_one(self) -> None:
        book = begun(STEP)

        assert book.apply(change(11, 11)) is Taken.APPLIED
        assert book.apply(change(11, 11)) is Taken.OLD
        assert book.apply(change(13, 13)) is Taken.GAP

    def test_a_new_snapshot_begins_anew_even_with_a_lower_number(self) -> None:
        book = begun(STEP, last=500)

        assert book.apply(whole(1, [(50.0, 1.0)], [(51.0, 1.0)])) is Taken.APPLIED
        assert book.apply(change(2, 2, [(50.5, 1.0)])) is Taken.APPLIED
        assert book.best_bid == 50.5

    def test_changes_before_the_first_snapshot_are_of_no_use(self) -> None:
        book = OrderBook(pair(), STEP)

        assert book.apply(change(1, 1, [(1.0, 1.0)])) is Taken.WAITING
        assert book.apply(whole(7, [(50.0, 1.0)], [])) is Taken.APPLIED
        assert book.apply(change(8, 8)) is Taken.APPLIED


class TestChecksum:
    def sums(self, bids: Levels, asks: Levels) -> int:
        digits = [f"{round(price * 10)}{round(size * 1000)}" for price, size in (*asks[:10], *bids[:10])]
        return zlib.crc32("".join(digits).encode())

    def test_a_right_sum_certifies_the_ladder(self) -> None:
        book = OrderBook(pair(), CHECKSUM, depth=10)
        bids, asks = [(99.0, 1.0), (98.5, 0.25)], [(101.0, 0.003)]

        assert book.apply(whole(0, bids, asks, self.sums(bids, asks))) is Taken.APPLIED

    def test_a_wrong_sum_drops_it(self) -> None:
        book = OrderBook(pair(), CHECKSUM, depth=10)

        assert book.apply(whole(0, [(99.0, 1.0)], [(101.0, 1.0)], 7)) is Taken.CHECKSUM
        assert not book.is_whole
        assert "checksum" in book.reason

    def test_no_sum_is_no_proof(self) -> None:
        book = OrderBook(pair(), CHECKSUM, depth=10)

        assert book.apply(whole(0, [(99.0, 1.0)], [(101.0, 1.0)])) is Taken.CHECKSUM

    def test_levels_below_the_subscribed_depth_fall_out(self) -> None:
        book = OrderBook(pair(), CHECKSUM, depth=10)
        bids = [(100.0 - at, 1.0) for at in range(10)]
        book.apply(whole(0, bids, [], self.sums(bids, [])))
        after = [(100.5, 2.0), *bids[:9]]

        taken = book.apply(change(0, 0, [(100.5, 2.0)], checksum=self.sums(after, [])))

        assert taken is Taken.APPLIED
        assert list(book.top().bids) == after


@pytest.mark.parametrize("bid", [101.0, 101.5])
def test_a_bid_at_or_above_the_ask_drops_the_ladder(bid: float) -> None:
    book = begun()

    assert book.apply(change(11, 11, [(bid, 1.0)])) is Taken.CROSSED
    assert not book.is_whole


def test_a_crossed_snapshot_is_refused() -> None:
    book = OrderBook(pair(), RANGE)

    assert book.apply(whole(1, [(101.0, 1.0)], [(101.0, 1.0)])) is Taken.CROSSED
    assert not book.is_whole


def test_a_snapshot_without_a_level_is_no_book() -> None:
    book = begun()

    assert book.apply(whole(50, [], [])) is Taken.EMPTY
    assert not book.is_whole


def test_a_snapshot_of_levels_without_size_is_no_book() -> None:
    assert OrderBook(pair(), RANGE).apply(whole(50, [(99.0, 0.0)], [])) is Taken.EMPTY


def test_a_market_with_one_empty_side_is_a_book() -> None:
    book = OrderBook(pair(), STEP)

    assert book.apply(whole(1, [(99.0, 1.0)], [])) is Taken.APPLIED
    assert (book.is_whole, book.best_bid) == (True, 99.0)
    assert math.isnan(book.best_ask)
    assert book.quote() is None
    assert math.isnan(book.microprice())
    assert book.imbalance() == 1.0


class TestSnapshotByRest:
    def test_updates_that_came_before_it_are_applied_on_top(self) -> None:
        book = OrderBook(pair(), RANGE)
        early = [
            change(8, 9, [(90.0, 1.0)]),
            change(10, 12, [(99.0, 7.0)]),
            change(13, 13, [], [(101.0, 0.0)]),
        ]

        kept = [book.apply(each) for each in early]
        taken = book.apply(whole(10, [(99.0, 1.0)], [(101.0, 3.0), (102.0, 4.0)]))

        assert kept == [Taken.WAITING] * 3
        assert taken is Taken.APPLIED
        assert (book.last, book.best_ask) == (13, 102.0)
        assert book.top().bids == ((99.0, 7.0),)

    def test_one_that_is_older_than_what_waits_asks_for_a_newer(self) -> None:
        book = OrderBook(pair(), RANGE)
        book.apply(change(20, 21, [(99.5, 1.0)]))

        early = book.apply(whole(15, [(99.0, 1.0)], [(101.0, 1.0)]))
        between = book.is_whole
        late = book.apply(whole(20, [(99.0, 1.0)], [(101.0, 1.0)]))

        assert (early, between, late) == (Taken.GAP, False, Taken.APPLIED)
        assert (book.last, book.best_bid) == (21, 99.5)

    def test_one_that_is_newer_than_the_stream_waits_for_it_to_catch_up(self) -> None:
        book = OrderBook(pair(), RANGE)
        book.apply(change(8, 9, [(90.0, 1.0)]))

        assert book.apply(whole(30, [(99.0, 1.0)], [(101.0, 1.0)])) is Taken.APPLIED
        assert book.apply(change(10, 25, [(98.0, 9.0)], ts=60 * SECOND)) is Taken.OLD
        assert book.apply(change(26, 31, [(98.5, 9.0)])) is Taken.APPLIED

    def test_after_a_gap_the_updates_wait_again(self) -> None:
        book = begun()
        book.apply(change(20, 21, [(99.5, 1.0)]))

        assert book.apply(change(22, 23, [(99.6, 1.0)])) is Taken.WAITING
        assert book.apply(whole(20, [(99.0, 1.0)], [(101.0, 1.0)])) is Taken.APPLIED
        assert (book.last, book.best_bid) == (23, 99.6)

    def test_a_second_one_that_is_as_new_deepens_the_ladder(self) -> None:
        book = begun()
        book.apply(change(11, 12, [(99.5, 1.0)]))

        taken = book.apply(whole(12, [(99.5, 1.0), (99.0, 1.0), (98.0, 2.0), (97.0, 3.0)], [(101.0, 3.0)]))

        assert taken is Taken.APPLIED
        assert len(book.top().bids) == 4
        assert book.apply(change(13, 13)) is Taken.APPLIED

    def test_a_second_one_that_is_older_leaves_the_ladder_as_it_is(self) -> None:
        book = begun()
        book.apply(change(11, 12, [(99.5, 1.0)]))

        assert book.apply(whole(11, [(50.0, 1.0)], [(51.0, 1.0)])) is Taken.OLD
        assert (book.is_whole, book.last, book.best_bid) == (True, 12, 99.5)

    def test_what_waits_is_bounded(self) -> None:
        book = OrderBook(pair(), RANGE)

        for at in range(1, 100_000):
            book.apply(change(at, at))

        assert len(book._waiting) <= 20_000
        assert book.apply(whole(99_999, [(99.0, 1.0)], [(101.0, 1.0)])) is Taken.APPLIED


def test_an_old_number_long_after_is_a_gap_and_no_echo() -> None:
    book = begun()
    book.apply(change(11, 10**15, [(99.5, 1.0)], ts=SECOND))

    echo = book.apply(change(12, 13, ts=2 * SECOND))
    later = book.apply(change(900, 901, ts=7 * SECOND))

    assert (echo, later) == (Taken.OLD, Taken.GAP)
    assert not book.is_whole


def test_a_dropped_book_forgets_what_waited() -> None:
    book = begun()

    book.drop("the connection was lost")

    assert (book.is_whole, book.reason, book.wants_snapshot) == (False, "the connection was lost", True)
    assert book.apply(whole(3, [(99.0, 1.0)], [(101.0, 1.0)])) is Taken.APPLIED


class TestCutSnapshot:
    """A snapshot of three levels a side, the most that this venue sends: what lies beyond is not known."""

    def cut(self) -> OrderBook:
        book = OrderBook(pair(), RANGE)
        book.apply(whole(10, [(99.0, 1.0), (98.0, 1.0), (97.0, 1.0)], [(101.0, 1.0), (102.0, 1.0)]))
        return book

    def test_levels_beyond_its_end_do_not_count(self) -> None:
        book = self.cut()

        book.apply(change(11, 11, [(95.0, 50.0)], [(105.0, 50.0)]))

        assert book.top().bids == ((99.0, 1.0), (98.0, 1.0), (97.0, 1.0))
        assert all(math.isnan(each) for each in book.price_for(Side.SELL, 4.0))
        # Fewer than three asks came: that side was told to its end.
        assert book.price_for(Side.BUY, 4.0)[1] == 105.0

    def test_another_is_wanted_when_little_of_it_is_left(self) -> None:
        rule = BookRule(Continuity.RANGE, snapshot_in_stream=False, depths=(0,), snapshot_levels=8)
        book = OrderBook(pair(), rule)
        book.apply(whole(10, [(99.0 - at, 1.0) for at in range(8)], [(101.0, 1.0)]))
        before = book.wants_snapshot

        book.apply(change(11, 11, [(99.0 - at, 0.0) for at in range(7)] + [(80.0, 1.0)]))
        for at in range(12, 300):
            book.apply(change(at, at))

        assert (before, book.wants_snapshot, book.is_whole) == (False, True, True)

    def test_a_market_that_leaves_it_behind_has_no_known_price(self) -> None:
        book = self.cut()

        taken = book.apply(change(11, 11, [(99.0, 0.0), (98.0, 0.0), (97.0, 0.0), (95.0, 50.0)]))

        assert taken is Taken.GAP
        assert book.reason == "the market has left the part of the ladder that is known"


class TestQuestions:
    def test_the_price_for_a_size_walks_the_other_side(self) -> None:
        book = begun()

        assert book.price_for(Side.BUY, 5.0) == ((3 * 101.0 + 2 * 102.0) / 5, 102.0)
        assert book.price_for(Side.SELL, 1.0) == (99.0, 99.0)

    @pytest.mark.parametrize("size", [7.5, 0.0, -1.0, math.nan])
    def test_a_size_that_is_not_there_has_no_price(self, size: float) -> None:
        assert all(math.isnan(each) for each in begun().price_for(Side.BUY, size))

    def test_the_size_up_to_a_price_adds_levels(self) -> None:
        book = begun()

        assert book.size_to(Side.BUY, 101.0) == 3.0
        assert book.size_to(Side.BUY, 500.0) == 7.0
        assert book.size_to(Side.SELL, 98.5) == 1.0
        assert book.size_to(Side.SELL, 99.1) == 0.0

    def test_the_microprice_leans_to_the_thinner_side(self) -> None:
        assert begun().microprice() == (99.0 * 3.0 + 101.0 * 1.0) / 4.0

    def test_the_imbalance_compares_the_best_levels(self) -> None:
        assert begun().imbalance(1) == (1.0 - 3.0) / 4.0
        assert begun().imbalance(2) == (3.0 - 7.0) / 10.0

    def test_the_top_may_be_cut_to_any_depth(self) -> None:
        assert begun().top(1) == BookSnapshot(0, NAME, ((99.0, 1.0),), ((101.0, 3.0),))

    def test_an_empty_book_answers_nothing(self) -> None:
        book = OrderBook(pair(), RANGE)

        assert book.quote() is None
        assert book.top() == BookSnapshot(0, NAME, (), ())
        assert math.isnan(book.imbalance())
        assert book.size_to(Side.BUY, 1e9) == 0.0


@pytest.mark.parametrize(("wanted", "depth"), [(1, 10), (10, 10), (11, 25), (26, 25), (0, 25)])
def test_the_least_depth_that_holds_what_is_wanted_is_chosen(wanted: int, depth: int) -> None:
    assert CHECKSUM.depth_for(wanted) == depth


def test_where_all_levels_come_any_depth_is_all() -> None:
    assert RANGE.depth_for(5) == 0
