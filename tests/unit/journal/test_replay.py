from abidance.journal.record import Record
from abidance.journal.replay import replay
from abidance.model.event import BarSlice, OrderAccepted, OrderCancelled, Timer
from abidance.model.outcome import Recorded

BAR = BarSlice(1, ())
NEXT = BarSlice(2, ())
SENT = OrderAccepted(1, "a")
GONE = OrderCancelled(1, "a")
TICK = Timer(1, "t")
MARK: tuple[Recorded | None, bool] = (None, False)


def handled(*told: tuple[Recorded | None, bool]) -> list[Recorded]:
    return list(replay(Record(seq, deferred, event) for seq, (event, deferred) in enumerate(told, 1)))


def test_events_that_are_not_deferred_come_as_recorded() -> None:
    assert handled((SENT, False), (BAR, False), (GONE, False), (TICK, False)) == [SENT, BAR, GONE, TICK]


def test_a_deferred_bar_comes_where_it_was_marked_as_handled() -> None:
    told: list[tuple[Recorded | None, bool]] = [
        (BAR, True), (SENT, False), MARK, (GONE, False), (NEXT, True), MARK, (TICK, False),
    ]  # fmt: skip

    assert handled(*told) == [SENT, BAR, GONE, NEXT, TICK]


def test_a_deferred_bar_that_was_never_marked_is_not_lost() -> None:
    assert handled((BAR, True), (SENT, False), (NEXT, True), MARK) == [SENT, BAR, NEXT]


def test_a_deferred_bar_at_the_end_is_not_lost() -> None:
    assert handled((BAR, True), (SENT, False)) == [SENT, BAR]
    assert handled((BAR, True)) == [BAR]


def test_no_records_are_no_events() -> None:
    assert handled() == []
