from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from abidance.market.live.slices import LAGGARDS, SILENCE, Hole, Slices
from abidance.model.instrument import SECOND_NS
from abidance.model.market import Bar, BarSlice

MINUTE = 60 * SECOND_NS
START = 28_333_333 * MINUTE
BTC, ETH = ("BTC/USDT@FAKE", "1m"), ("ETH/USDT@FAKE", "1m")
BTC5 = ("BTC/USDT@FAKE", "5m")


def bar(series: tuple[str, str], number: int, close: float = 100.0) -> Bar:
    """Return the n-th minute's bar."""
    return Bar(*series, START + number * MINUTE, 100.0, 101.0, 99.0, close, 1.0)


def told(slices: Sequence[BarSlice]) -> list[tuple[int, list[str]]]:
    return [
        ((each.ts - START) // MINUTE, [f"{b.instrument[:3]} {b.timeframe}" for b in each.bars])
        for each in slices
    ]


def after(number: int, wait: int = 0) -> int:
    """Return a moment after the n-th minute's bar has closed."""
    return START + (number + 1) * MINUTE + wait


def test_a_slice_leaves_when_its_last_bar_has_come() -> None:
    slices = Slices({BTC: START, ETH: START})
    slices.take(bar(ETH, 0), after(0))
    before = slices.due(after(0))

    slices.take(bar(BTC, 0), after(0, 1))

    assert before == []
    assert told(slices.due(after(0, 1))) == [(1, ["BTC 1m", "ETH 1m"])]


def test_shorter_bars_stand_before_longer_ones_that_close_with_them() -> None:
    slices = Slices({BTC5: START - START % (5 * MINUTE), BTC: START})
    first = (5 * MINUTE - START % (5 * MINUTE)) // MINUTE - 1
    for number in range(first + 1):
        slices.take(bar(BTC, number), after(number))
    slices.take(Bar(*BTC5, START - START % (5 * MINUTE), 100.0, 101.0, 99.0, 100.0, 1.0), after(first))

    assert told(slices.due(after(first)))[-1] == (first + 1, ["BTC 1m", "BTC 5m"])


def test_a_laggard_is_waited_for_and_then_follows_alone() -> None:
    slices = Slices({BTC: START, ETH: START})
    slices.take(bar(BTC, 0), after(0))
    waiting = slices.due(after(0, LAGGARDS - 1))

    left = slices.due(after(0, LAGGARDS))
    slices.take(bar(ETH, 0), after(0, 3 * SECOND_NS))
    late = slices.due(after(0, 3 * SECOND_NS))

    assert waiting == []
    assert told(left) == [(1, ["BTC 1m"])]
    assert told(late) == [(1, ["ETH 1m"])]
    assert slices.missing(after(0, 3 * SECOND_NS)) == []


def test_a_laggard_that_comes_after_its_successor_has_left_stays_out() -> None:
    slices = Slices({BTC: START})
    slices.due(after(0, 0))
    slices.due(after(0, SILENCE))
    slices.take(bar(BTC, 1), after(1))
    left = slices.due(after(1))

    taken = slices.take(bar(BTC, 0), after(1, 1))

    assert told(left) == [(2, ["BTC 1m"])]
    assert not taken
    assert slices.due(after(1, 1)) == []


def test_bars_come_once_however_often_they_are_told() -> None:
    slices = Slices({BTC: START})
    for _ in range(3):
        slices.take(bar(BTC, 0), after(0))
    left = slices.due(after(0))
    slices.take(bar(BTC, 0), after(0, 5))

    assert told(left) == [(1, ["BTC 1m"])]
    assert slices.due(after(0, 5)) == []


def test_a_correction_that_comes_before_the_slice_has_left_counts() -> None:
    slices = Slices({BTC: START, ETH: START})
    slices.take(bar(BTC, 0, close=100.0), after(0))
    slices.take(bar(BTC, 0, close=100.5), after(0, 1))
    slices.take(bar(ETH, 0), after(0, 2))

    (found,) = slices.due(after(0, 2))

    assert found.bars[0].close == 100.5


def test_bars_between_history_and_the_first_live_one_are_waited_for_and_come_first() -> None:
    slices = Slices({BTC: START})
    now = after(3, SECOND_NS)
    slices.take(bar(BTC, 3), now)
    held = slices.due(now)
    asked = slices.missing(now + 3 * SECOND_NS)

    for number in range(3):
        slices.take(bar(BTC, number), now + 4 * SECOND_NS)

    assert held == []
    assert asked == [Hole(BTC, START, START + 4 * MINUTE)]
    assert told(slices.due(now + 4 * SECOND_NS)) == [(n, ["BTC 1m"]) for n in (1, 2, 3, 4)]


def test_bars_that_never_come_hold_up_the_rest_once_and_not_each() -> None:
    slices = Slices({BTC: START})
    now = after(5)
    slices.take(bar(BTC, 5), now)
    slices.due(now)

    left = slices.due(now + SILENCE)

    assert told(left) == [(6, ["BTC 1m"])]


def test_a_hole_that_the_venue_has_no_bars_for_is_given_up() -> None:
    slices = Slices({BTC: START})
    slices.due(after(0, 0))
    slices.due(after(0, SILENCE))
    (hole,) = slices.missing(after(0, SILENCE))

    slices.give_up(hole)

    assert slices.missing(after(0, SILENCE)) == []


def test_bars_of_other_series_and_off_the_grid_are_passed_over() -> None:
    slices = Slices({BTC: START})

    assert not slices.take(bar(ETH, 0), after(0))
    assert not slices.take(Bar(*BTC, START + 1, 1.0, 1.0, 1.0, 1.0, 1.0), after(0))
    assert slices.due(after(0)) == []


@given(
    st.permutations([(series, number) for series in (BTC, ETH) for number in range(6)]),
    st.lists(st.integers(0, 20), min_size=12, max_size=12),
    st.sets(st.tuples(st.sampled_from([BTC, ETH]), st.integers(0, 5))),
)
def test_whatever_the_order_each_series_only_goes_forward_and_nothing_comes_twice(
    order: list[tuple[tuple[str, str], int]], pauses: list[int], lost: set[tuple[tuple[str, str], int]]
) -> None:
    slices, now, left = Slices({BTC: START, ETH: START}), START, list[BarSlice]()

    for (series, number), pause in zip(order, pauses, strict=True):
        now = max(now + pause * SECOND_NS, after(number))
        if (series, number) not in lost:
            slices.take(bar(series, number), now)
            slices.take(bar(series, number), now)
        left += slices.due(now)
    left += slices.due(now + SILENCE)
    left += slices.due(now + 2 * SILENCE)

    for series in (BTC, ETH):
        opens = [b.ts for each in left for b in each.bars if (b.instrument, b.timeframe) == series]
        assert opens == sorted(set(opens))
    assert all(b.ts_close == each.ts for each in left for b in each.bars)


MOOD = ("FEARGREED/INDEX@SENTIMENT", "1m")


class Mood:
    """A companion that knows the mood of every minute from the second on."""

    def bar(self, series: tuple[str, str], ts: int) -> Bar | None:
        number = (ts - START) // MINUTE
        return Bar(*series, ts, *(float(number + 10),) * 5) if number else None

    def doubt(self, instrument: str, now: int) -> str:
        return ""


def test_a_companion_neither_hastens_nor_delays_a_slice() -> None:
    slices = Slices({BTC: START, ETH: START}, {MOOD: START}, Mood())
    before = slices.due(after(0, SILENCE - 1))
    slices.take(bar(BTC, 0), after(0, SILENCE - 1))
    waiting = slices.due(after(0, SILENCE))

    slices.take(bar(ETH, 0), after(0, SILENCE))
    left = slices.due(after(0, SILENCE))

    assert (before, waiting) == ([], [])
    assert told(left) == [(1, ["BTC 1m", "ETH 1m"])]


def test_a_companion_stands_behind_the_others_of_its_moment_and_makes_up_for_moments_that_were_left_out() -> (
    None
):
    slices = Slices({BTC: START}, {MOOD: START}, Mood())
    slices.give_up(Hole(BTC, START, START + 3 * MINUTE))
    slices.take(bar(BTC, 3), after(3))

    left = slices.due(after(3))

    assert told(left) == [(2, ["FEA 1m"]), (3, ["FEA 1m"]), (4, ["BTC 1m", "FEA 1m"])]
    assert [each.bars[-1].close for each in left] == [11.0, 12.0, 13.0]


def test_a_companion_is_no_hole() -> None:
    slices = Slices({BTC: START}, {MOOD: START}, Mood())
    slices.take(bar(BTC, 0), after(0))
    slices.due(after(0))

    assert slices.missing(after(0, 50 * SECOND_NS)) == []
    assert slices.following == {BTC: START + MINUTE}
