from hypothesis import given
from hypothesis import strategies as st

from abidance.market.live.gaps import GapReplay, Gaps, GapSpan
from abidance.model.market import DataKind, FeedState, FeedStatus

BTC = "BTC/USDT@FAKE"
CERTIFIED, STALE, GAP = FeedState.CERTIFIED, FeedState.STALE, FeedState.GAP


def status(ts: int, state: FeedState, kind: DataKind = DataKind.TRADES, reason: str = "") -> FeedStatus:
    return FeedStatus(ts, BTC, kind, state, reason)


def folded(*statuses: FeedStatus) -> list[GapSpan]:
    gaps = Gaps()
    return [span for each in statuses if (span := gaps.take(each)) is not None]


def test_a_hole_reaches_from_the_loss_of_trust_to_its_return() -> None:
    spans = folded(status(1, CERTIFIED), status(5, STALE, reason="silent"), status(9, CERTIFIED))

    assert spans == [GapSpan(BTC, DataKind.TRADES, 5, 9, STALE, "silent")]


def test_a_hole_keeps_its_beginning_and_its_gravest_finding() -> None:
    spans = folded(
        status(1, CERTIFIED), status(5, STALE), status(6, GAP, reason="one is missing"), status(9, CERTIFIED)
    )

    assert spans == [GapSpan(BTC, DataKind.TRADES, 5, 9, GAP, "one is missing")]


def test_what_precedes_the_first_certificate_is_no_hole() -> None:
    assert folded(status(1, STALE), status(5, CERTIFIED)) == []


def test_a_hole_that_is_open_at_the_end_ends_there() -> None:
    gaps = Gaps()
    gaps.take(status(1, CERTIFIED))
    gaps.take(status(5, GAP))

    assert gaps.close(8) == [GapSpan(BTC, DataKind.TRADES, 5, 8, GAP)]
    assert gaps.close(9) == []


def test_a_replay_of_holes_tells_both_ends_in_their_order() -> None:
    replay = GapReplay(
        [GapSpan(BTC, DataKind.TRADES, 5, 9, GAP, "x"), GapSpan(BTC, DataKind.BOOK, 3, 7, STALE)]
    )

    assert list(replay.events()) == [
        status(3, STALE, DataKind.BOOK),
        status(5, GAP, reason="x"),
        status(7, CERTIFIED, DataKind.BOOK),
        status(9, CERTIFIED),
    ]


def test_a_replay_that_begins_within_a_hole_tells_of_it_first() -> None:
    replay = GapReplay([GapSpan(BTC, DataKind.TRADES, 5, 9, GAP)])

    assert list(replay.events(after=6)) == [status(7, GAP), status(9, CERTIFIED)]
    assert list(replay.events(after=9)) == []


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)), max_size=8), st.integers(0, 80))
def test_at_every_moment_a_replay_says_whether_a_hole_is_open(
    holes: list[tuple[int, int]], moment: int
) -> None:
    spans = [GapSpan(BTC, DataKind.TRADES, start, start + length, GAP) for start, length in holes]

    state = CERTIFIED
    for each in GapReplay(spans).events():
        if each.ts <= moment:
            state = each.state

    assert (state is GAP) == any(span.start <= moment < span.end for span in spans)
