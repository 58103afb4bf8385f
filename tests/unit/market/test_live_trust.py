"""Certificates, the pace of streams, the order of events, and composite quotes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.composite import FRESH, Composite
from abidance.market.live.certificates import Certificates
from abidance.market.live.inbox import CROWD, Inbox
from abidance.market.live.pace import CEILING, FLOOR, Pace
from abidance.model.market import DataKind, FeedState, FeedStatus, Quote, Trade

BTC = "BTC/USDT@A"
KEY = (BTC, DataKind.QUOTES)
CERTIFIED, STALE, GAP, CROSSED = FeedState.CERTIFIED, FeedState.STALE, FeedState.GAP, FeedState.CROSSED


def quote(source: str, bid: float, ask: float, size: float = 1.0) -> Quote:
    return Quote(1, source, bid, size, ask, size)


# --- certificates


def test_a_stream_is_certified_while_one_source_is() -> None:
    told: list[FeedStatus] = []
    certificates = Certificates(told.append)
    certificates.expect(1, KEY)
    certificates.find(2, KEY, 7, CERTIFIED)
    certificates.find(3, KEY, 8, CERTIFIED)
    certificates.find(4, KEY, 7, GAP, "one is missing")
    between = certificates.followed(KEY)
    certificates.lose(5, 8, "it ended")

    assert between == 8
    assert [status.state for status in told] == [STALE, CERTIFIED, GAP]
    assert told[-1].reason == "one is missing"


def test_the_source_that_is_followed_stays_while_it_can() -> None:
    certificates = Certificates(lambda _: None)
    certificates.expect(1, KEY)
    certificates.find(2, KEY, 8, CERTIFIED)

    certificates.find(3, KEY, 7, CERTIFIED)

    assert certificates.followed(KEY) == 8


def test_losing_the_last_source_is_stale_with_its_reason() -> None:
    told: list[FeedStatus] = []
    certificates = Certificates(told.append)
    certificates.expect(1, KEY)
    certificates.find(2, KEY, 7, CERTIFIED)

    certificates.lose(3, 7, "the connection ended")

    assert told[-1] == FeedStatus(3, *KEY, STALE, "the connection ended")
    assert certificates.followed(KEY) is None


def test_nobody_can_certify_a_stream_that_was_not_expected() -> None:
    told: list[FeedStatus] = []
    certificates = Certificates(told.append)

    certificates.find(2, KEY, 7, CERTIFIED)

    assert told == []
    assert certificates.state(KEY) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([*FeedState, None])), max_size=40))
def test_what_is_told_is_what_the_best_source_says_and_only_changes(
    steps: list[tuple[int, FeedState | None]],
) -> None:
    told: list[FeedStatus] = []
    certificates, truth = Certificates(told.append), dict[int, FeedState]()
    certificates.expect(0, KEY)

    for ts, (source, state) in enumerate(steps, 1):
        if state is None:
            truth.pop(source, None)
            certificates.lose(ts, source, "lost")
        else:
            truth[source] = state
            certificates.find(ts, KEY, source, state)
        assert (certificates.state(KEY) is CERTIFIED) == (CERTIFIED in truth.values())
        followed = certificates.followed(KEY)
        assert followed is None or truth[followed] is CERTIFIED

    assert all(a.state is not b.state for a, b in pairwise(told))


# --- pace


@pytest.mark.parametrize("interval", [0.001, 0.05, 0.3])
def test_a_liquid_stream_is_missed_within_ten_seconds(interval: float) -> None:
    pace, now = Pace(0.0), 0.0
    while now < 100:
        now += interval
        pace.heard(now)

    assert FLOOR <= pace.limit() <= 10.0
    assert not pace.is_silent(now + FLOOR - 0.1)
    assert pace.is_silent(now + 10.0)


def test_a_quiet_stream_is_given_more_time_but_never_for_ever() -> None:
    pace = Pace(0.0)
    for number in range(1, 20):
        pace.heard(number * 40.0)
    unused = Pace(0.0, 1e9)

    assert pace.limit() == CEILING
    assert unused.limit() == CEILING


def test_bursts_do_not_make_the_pauses_between_them_a_failure() -> None:
    pace, now = Pace(0.0), 0.0
    for _ in range(30):
        now += 8.0
        for _ in range(50):
            now += 0.001
            pace.heard(now)

    assert not pace.is_silent(now + 8.0)


# --- the inbox


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=50))
def test_times_go_forward_and_stay_behind_receipt(times: list[tuple[int, int]]) -> None:
    inbox, received, found = Inbox(), 0, list[tuple[int, int]]()
    for ts, step in times:
        received += step
        inbox.put(Trade(ts, BTC, 1.0, 1.0, True), received)
        event = inbox.next()
        assert event is not None
        found.append((event.ts, received))

    assert all(a <= b for (a, _), (b, _) in pairwise(found))
    assert all(ts <= at for ts, at in found)


def test_a_few_waiting_quotes_are_all_kept_and_many_are_not() -> None:
    few, many = Inbox(), Inbox()
    for number in range(CROWD // 2):
        few.put(quote(BTC, 1.0 + number, 2.0 + number), number + 1)
    for number in range(10 * CROWD):
        many.put(quote(BTC, 1.0 + number, 2.0 + number), number + 1)

    assert len(list(iter(few.next, None))) == CROWD // 2
    left = list(iter(many.next, None))
    assert len(left) < 2 * CROWD
    assert isinstance(left[-1], Quote)
    assert left[-1].bid == 10.0 * CROWD


def test_quotes_of_one_instrument_do_not_replace_those_of_another() -> None:
    inbox = Inbox()
    for number in range(3 * CROWD):
        inbox.put(quote(f"X{number}", 1.0, 2.0), 1)

    assert len(list(iter(inbox.next, None))) == 3 * CROWD


# --- composite quotes


def composite(*quotes: Quote, now: int = 1) -> Quote | None:
    found = Composite("BTC/USDT@ALL", [each.instrument for each in quotes])
    for each in quotes:
        found.take(each, 1)
    return found.quote(now)


def test_the_best_of_all_venues_is_told() -> None:
    found = composite(quote("A", 99.0, 101.0), quote("B", 99.5, 100.9), quote("C", 99.5, 101.5, 2.0))

    assert found == Quote(1, "BTC/USDT@ALL", 99.5, 3.0, 100.9, 1.0)


def test_an_outlier_is_left_out() -> None:
    found = composite(quote("A", 99.9, 100.1), quote("B", 99.8, 100.2), quote("C", 120.0, 120.1))

    assert found is not None
    assert (found.bid, found.ask) == (99.9, 100.1)


@pytest.mark.parametrize("other", [120.0, 101.5, 98.5])
def test_of_two_that_disagree_neither_is_believed(other: float) -> None:
    assert composite(quote("A", 99.9, 100.1), quote("B", other, other + 0.1)) is None


def test_stale_quotes_and_excluded_sources_are_left_out() -> None:
    found = Composite("X", ["A", "B"])
    found.take(quote("A", 99.9, 100.1), 1)
    found.take(quote("B", 99.8, 100.2), FRESH)

    alone = found.quote(FRESH + 5)
    found.exclude("B")

    assert alone is not None
    assert alone.bid == 99.8
    assert found.quote(FRESH + 5) is None


def test_venues_that_cross_each_other_give_a_quote_that_does_not() -> None:
    found = composite(quote("A", 100.3, 100.4), quote("B", 100.0, 100.1))

    assert found is not None
    assert found.bid < found.ask


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True)
        ),
        max_size=6,
    )
)
def test_no_input_makes_a_composite_that_is_crossed_or_no_number(prices: list[tuple[float, float]]) -> None:
    found = composite(*(quote(str(number), bid, ask) for number, (bid, ask) in enumerate(prices)))

    assert found is None or 0.0 < found.bid < found.ask < float("inf")
