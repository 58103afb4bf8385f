import time

from abidance.kernel.clock import EventClock, WallClock
from abidance.kernel.ports import Clock


def test_the_wall_clock_tells_the_machines_time_in_nanoseconds() -> None:
    clock: Clock = WallClock()
    before = time.time_ns()

    now = clock.now()

    assert before <= now <= time.time_ns()


def test_event_time_moves_only_when_it_is_set_and_never_back() -> None:
    clock = EventClock(5)
    seen = [clock.now()]

    for ts in (9, 7, 9, 10):
        clock.set(ts)
        seen.append(clock.now())

    assert seen == [5, 9, 9, 9, 10]
