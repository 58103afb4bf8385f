"""Circuit breakers over whatever may happen: they open for a cause, in time, rest, are tried, and close again."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.model.event import CircuitMoved, CircuitState, Part
from abidance.model.instrument import SECOND_NS
from abidance.model.outcome import Approved, RefusalCode
from abidance.risk.circuits import DEGRADATIONS, RUN, Circuits, Sign, Trial
from abidance.risk.config import CircuitsConfig, RiskConfig
from abidance.risk.gate import Gate
from abidance.risk.state import ACTIVE
from tests.unit.risk.world import OTHER_SPOT, PERP, SPOT, World, buy, sell

VENUES = ("BINANCE", "KRAKEN")
SMALL = CircuitsConfig(
    requests=(2, 4, 10.0), latency=(2, 6, 10.0), orders=(2, 3, 10.0), clock=(2, 2, 10.0), stream=(2, 4, 30.0),
    data=(2, 4, 30.0), books=(2, 4, 30.0), journal=(2, 8, 10.0), cooldown=3.0, longest=20.0, calm=40.0,
)  # fmt: skip
FAILING: dict[Part, tuple[Sign, float]] = {
    Part.REQUESTS: (Sign.UNANSWERED, 0.0),
    Part.LATENCY: (Sign.ANSWERED, 9.0),
    Part.ORDERS: (Sign.REFUSED, 0.0),
    Part.CLOCK: (Sign.TOO_LATE, 0.0),
    Part.STREAM: (Sign.LOST, 0.0),
    Part.DATA: (Sign.DOUBTED, 0.0),
    Part.BOOKS: (Sign.DIFFERED, 0.0),
    Part.JOURNAL: (Sign.WRITTEN, 9.0),
    Part.DISK: (Sign.ROOM, 1.0),
}
FINE: dict[Part, tuple[Sign, float]] = {
    Part.REQUESTS: (Sign.ANSWERED, 0.1),
    Part.LATENCY: (Sign.ANSWERED, 0.1),
    Part.ORDERS: (Sign.TAKEN, 0.0),
    Part.CLOCK: (Sign.CLOCK, 0.2),
    Part.STREAM: (Sign.HEARD, 0.0),
    Part.DATA: (Sign.CERTIFIED, 0.0),
    Part.BOOKS: (Sign.AGREED, 0.0),
    Part.JOURNAL: (Sign.WRITTEN, 0.01),
    Part.DISK: (Sign.ROOM, 1e12),
}
GRAVE = ((Sign.BANNED, 0.0), (Sign.CLOCK, -60.0), (Sign.ROOM, 0.0))
EVERYWHERE = frozenset(part for part, each in DEGRADATIONS.items() if each.is_everywhere)


class Seen(NamedTuple):
    """So many seconds after what was seen before, something is seen; without a sign only time has passed."""

    after: float
    venue: str = VENUES[0]
    sign: Sign | None = None
    value: float = 0.0


def seen() -> st.SearchStrategy[Seen]:
    signs = st.sampled_from([*FAILING.values(), *FINE.values(), *GRAVE])
    after = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 11.0])
    told = st.builds(lambda gap, venue, sign: Seen(gap, venue, *sign), after, st.sampled_from(VENUES), signs)
    return st.one_of(told, told, told, after.map(Seen))


HISTORIES = st.lists(seen(), max_size=120)


class Course:
    """Circuits that live through a history, and what moved."""

    def __init__(self, config: CircuitsConfig = SMALL) -> None:
        self.circuits = Circuits(config)
        self.now = 1_000 * SECOND_NS
        self.moves: list[CircuitMoved] = []

    def live(self, history: Sequence[Seen]) -> "Course":
        for each in history:
            self.now += round(each.after * SECOND_NS)
            self.take(self.circuits.tick(self.now))
            if each.sign is not None:
                self.take(self.circuits.take(self.now, each.venue, each.sign, each.value, "something"))
        return self

    def take(self, moves: Sequence[CircuitMoved]) -> None:
        assert all(each.ts == self.now for each in moves)
        self.moves += moves

    def state(self, venue: str, part: Part) -> CircuitState:
        found = [each.state for each in self.moves if (each.venue, each.part) == (place(venue, part))]
        return found[-1] if found else CircuitState.CLOSED

    def of(self, venue: str, part: Part) -> list[CircuitMoved]:
        return [each for each in self.moves if (each.venue, each.part) == place(venue, part)]


def place(venue: str, part: Part) -> tuple[str, Part]:
    return RUN if part in EVERYWHERE else venue, part


def failed(part: Part, each: Seen) -> bool | None:
    """Say by hand whether what was seen is a failure of a part, None when it has nothing to do with it."""
    if each.sign is Sign.ANSWERED:
        return {Part.REQUESTS: False, Part.LATENCY: each.value > 3.0}.get(part)
    if (each.sign, each.value) in (FAILING[part], *GRAVE) and owner(each) is part:
        return True
    return False if (each.sign, each.value) == FINE[part] else None


def owner(each: Seen) -> Part | None:
    graves = {Sign.BANNED: Part.REQUESTS, Sign.CLOCK: Part.CLOCK, Sign.ROOM: Part.DISK}
    found = next((part for part, sign in FAILING.items() if sign == (each.sign, each.value)), None)
    return found or (graves.get(each.sign) if each.sign else None)


@given(HISTORIES)
@settings(max_examples=150)
def test_a_circuit_opens_when_a_plain_count_says_so_and_never_otherwise(history: list[Seen]) -> None:
    course = Course()
    past: dict[tuple[str, Part], list[tuple[int, bool]]] = {}

    for each in history:
        before = {where: course.state(*where) for where in ((v, p) for v in VENUES for p in Part)}
        count = len(course.moves)
        course.live([each])
        new = course.moves[count:]
        for part in Part:
            where, bad = place(each.venue, part), failed(part, each)
            if bad is None:
                continue
            opened = any((m.venue, m.part) == where and m.state is CircuitState.OPEN for m in new)
            if before[each.venue, part] is not CircuitState.CLOSED:
                past[where] = []
                continue
            counted = past.setdefault(where, [])
            counted.append((course.now, bad))
            trip = (1, 1, 1.0) if part is Part.DISK else getattr(SMALL, part)
            newest = [at_bad for at_bad in counted if at_bad[0] > course.now - trip[2] * SECOND_NS][
                -trip[1] :
            ]
            reached = bad and sum(b for _, b in newest) >= trip[0]
            assert opened == (reached or (each.sign, each.value) in GRAVE)


@given(HISTORIES, st.sampled_from(sorted(Part)), st.floats(0.0, 0.9))
@settings(max_examples=150)
def test_a_row_of_failures_always_opens_a_circuit_whatever_was_before(
    history: list[Seen], part: Part, gap: float
) -> None:
    course = Course().live(history)

    course.live([Seen(gap, VENUES[0], *FAILING[part])] * 2)

    assert course.state(VENUES[0], part) is not CircuitState.CLOSED


@given(HISTORIES)
def test_every_circuit_closes_once_all_is_well(history: list[Seen]) -> None:
    course = Course().live(history)
    seconds = round(SMALL.longest) + SMALL.proofs + 1

    calm = [Seen(0.0, venue, *FINE[part]) for venue in VENUES for part in Part]
    course.live([each for _ in range(seconds) for each in (Seen(1.0), *calm)])

    assert {course.state(venue, part) for venue in VENUES for part in Part} == {CircuitState.CLOSED}
    assert not any(course.circuits.tried(venue) for venue in (*VENUES, RUN))


@given(HISTORIES)
def test_a_circuit_rests_is_tried_and_then_opens_or_closes_and_rests_longer_each_time(
    history: list[Seen],
) -> None:
    course = Course().live(history)

    for venue in VENUES:
        for part in Part:
            moves = course.of(venue, part)
            states = [each.state for each in moves]
            assert states[:1] in ([], [CircuitState.OPEN])
            for before, after in pairwise(moves):
                assert (before.state, after.state) in {
                    (CircuitState.OPEN, CircuitState.HALF_OPEN),
                    (CircuitState.HALF_OPEN, CircuitState.OPEN),
                    (CircuitState.HALF_OPEN, CircuitState.CLOSED),
                    (CircuitState.CLOSED, CircuitState.OPEN),
                }
                if before.state is CircuitState.OPEN:
                    assert after.ts - before.ts >= before.rest * SECOND_NS
            opened = [each for each in moves if each.state is CircuitState.OPEN]
            for first, second in pairwise(opened):
                again = second.trips > first.trips
                assert second.rest == min(SMALL.longest, 2 * first.rest) if again else second.trips == 1
            assert all(SMALL.cooldown <= each.rest <= SMALL.longest for each in opened)
            assert all("`risk.circuits." in each.reason for each in opened)


@given(HISTORIES)
def test_what_is_seen_of_one_venue_moves_nothing_of_another(history: list[Seen]) -> None:
    here = [each for each in history if each.venue == VENUES[0]]

    both, alone = Course().live(here), Course().live(here)
    for part in Part:
        if part not in EVERYWHERE:
            both.live([Seen(0.0, VENUES[1], *FAILING[part])] * 2)
    there = [each for each in both.moves if each.venue == VENUES[1]]

    assert [each for each in both.moves if each.venue != VENUES[1]] == alone.moves
    assert {each.part for each in there} == set(Part) - EVERYWHERE


@given(HISTORIES)
def test_after_a_restart_what_was_open_is_tried_first_and_trusted_only_on_proof(history: list[Seen]) -> None:
    before = Course().live(history)
    known = {(each.venue, each.part): each for each in before.moves}
    after = Course()
    after.now = before.now

    after.take(after.circuits.recall(after.now, known.values(), VENUES))

    stood = {where for where, each in known.items() if not each.is_closed}
    assert {(each.venue, each.part) for each in after.moves} == stood
    assert {each.state for each in after.moves} <= {CircuitState.HALF_OPEN}
    for venue, part in sorted(stood):
        trips = known[venue, part].trips
        after.live([Seen(0.0, venue, *FAILING[part])])
        opened = after.of(venue, part)[-1]
        assert (opened.state, opened.trips) == (CircuitState.OPEN, trips + 1)


@given(HISTORIES, st.sampled_from(["", "BINANCE"]), st.sampled_from(["", "requests", "disk"]))
def test_a_person_closes_what_is_named_and_nothing_else(history: list[Seen], venue: str, part: str) -> None:
    course = Course().live(history)
    known = {(each.venue, each.part): each for each in course.moves}
    stood = {where for where, each in known.items() if not each.is_closed and each.is_of(venue, part)}

    course.moves = list(course.circuits.reset(course.now, "somebody", venue, part))

    assert {(each.venue, each.part) for each in course.moves} == stood
    assert all(each.is_closed and not each.trips and "somebody" in each.reason for each in course.moves)


@given(HISTORIES)
def test_no_new_risk_passes_an_open_circuit_and_every_reduction_does(history: list[Seen]) -> None:
    course, gate = Course().live(history), Gate(RiskConfig())
    world = World(positions={("held", SPOT): sell().quantity})
    for each in course.moves:
        world.feeds.circuits[each.venue, each.part] = each

    for name, venue in ((SPOT, "BINANCE"), (OTHER_SPOT, "KRAKEN"), (PERP, "BYBIT")):
        shut = world.feeds.barriers(venue)
        strict = [
            each
            for each in shut
            if each.state is CircuitState.OPEN or DEGRADATIONS[each.part].trial is not Trial.ENTERING
        ]
        verdict = gate.check(buy("0.5", name, strategy=f"new {name}"), world, ACTIVE)
        refusals = () if isinstance(verdict, Approved) else (verdict.code,)
        assert refusals == ((RefusalCode.CIRCUIT_OPEN,) if strict else ())
    leaving = gate.check(sell(strategy="held", reduce_only=True), world, ACTIVE)

    assert isinstance(leaving, Approved)
