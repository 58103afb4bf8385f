"""Several feeds as one."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.feed import BarReplay, FundingReplay, QuoteReplay, TradeReplay, merge
from abidance.model.errors import DataError
from abidance.model.market import BarSlice, BookSnapshot, FundingRate, MarketEvent, Quote, Trade
from tests.unit.market.series import BTC, NEW_YEAR, a_series

KINDS = (Trade, Quote, BookSnapshot, BarSlice, FundingRate)


class Listed:
    """A feed of the events it is given."""

    def __init__(self, events: Sequence[MarketEvent]) -> None:
        self._events = events

    def events(self, after: int | None = None) -> Iterator[MarketEvent]:
        return (event for event in self._events if after is None or event.ts > after)


def event(kind: type, ts: int, mark: str) -> MarketEvent:
    made: dict[type, MarketEvent] = {
        FundingRate: FundingRate(ts, mark, 0.0001, 100.0),
        Trade: Trade(ts, mark, 100.0, 1.0, True),
        Quote: Quote(ts, mark, 99.0, 1.0, 100.0, 1.0),
        BookSnapshot: BookSnapshot(ts, mark, (), ()),
        BarSlice: BarSlice(ts, ()),
    }
    return made[kind]


def test_of_equal_times_trades_come_before_quotes_before_books_before_bars_before_funding() -> None:
    feeds = [Listed([event(kind, 5, "X")]) for kind in reversed(KINDS)]

    assert [type(e) for e in merge(*feeds).events()] == list(KINDS)


def test_of_equal_times_and_kinds_the_earlier_argument_comes_first() -> None:
    feeds = [Listed([event(Trade, 5, mark), event(Trade, 5, mark)]) for mark in "ABC"]

    assert [e.instrument for e in merge(*feeds).events() if isinstance(e, Trade)] == list("AABBCC")


@given(
    drawn=st.lists(st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 12), max_size=15)), max_size=5),
    after=st.one_of(st.none(), st.integers(-1, 13)),
)
def test_a_merge_is_the_sorted_whole(drawn: list[tuple[type, list[int]]], after: int | None) -> None:
    events = [[event(kind, ts, f"{n}") for ts in sorted(times)] for n, (kind, times) in enumerate(drawn)]
    whole = [
        (e.ts, KINDS.index(type(e)), n, place, e)
        for n, feed in enumerate(events)
        for place, e in enumerate(feed)
    ]

    merged = list(merge(*map(Listed, events)).events(after))

    ordered = sorted(whole, key=lambda entry: entry[:4])
    assert merged == [entry[4] for entry in ordered if after is None or entry[0] > after]


@pytest.mark.parametrize("companions", [0, 1, 2])
def test_a_feed_that_goes_backwards_is_refused_with_its_place(companions: int) -> None:
    backwards = Listed([event(Trade, ts, "X") for ts in (1, 2, 3, 2, 5)])
    others = [Listed([event(Quote, ts, "Y") for ts in range(10)]) for _ in range(companions)]

    with pytest.raises(DataError, match=rf"Feed {companions + 1} goes backwards in time: its event 4"):
        list(merge(*others, backwards).events())


def test_a_merge_can_be_merged_and_run_again() -> None:
    first, second, third = (Listed([event(Trade, ts, mark) for ts in range(3)]) for mark in "ABC")

    nested = merge(merge(first, second), third)

    assert list(nested.events()) == list(merge(first, second, third).events())
    assert list(nested.events()) == list(nested.events())


def test_nothing_gives_nothing() -> None:
    assert list(merge().events()) == []
    assert list(merge(Listed([]), Listed([])).events()) == []


def test_the_kinds_of_replay_merge() -> None:
    ms = NEW_YEAR // 1_000_000 + 3_600_000
    bars = a_series(3)
    trades = TradeReplay(BTC, {"ts_ms": [ms], "price": [1.0], "size": [1.0], "side": ["buy"]})
    quotes = QuoteReplay(
        BTC, {"ts_ms": [ms], "bid": [1.0], "bid_size": [1.0], "ask": [2.0], "ask_size": [1.0]}
    )
    funding = FundingReplay(BTC, {"ts": [ms], "funding_rate": [0.01]}, bars)

    merged = list(merge(BarReplay([bars]), quotes, trades, funding).events())

    assert [type(e) for e in merged] == [Trade, Quote, BarSlice, FundingRate, BarSlice, BarSlice]
