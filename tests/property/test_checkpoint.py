"""A core that was put away and taken up again, anywhere in its run, goes on as if nothing had been."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.backtest.event import Recorder
from abidance.engine.pump import Pump
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.kernel.ids import OrderIds
from abidance.market.feed import merge
from abidance.model.market import MarketEvent
from abidance.model.outcome import Outcome
from abidance.run import checkpoint
from abidance.run.checkpoint import State
from abidance.run.setup import Core, Material, assemble
from abidance.venues.sim.venue import SimVenue
from tests.property.test_engine import events_of, materials, rates
from tests.property.test_skip_ahead import Case, cases, core_of, feeds

HEADER = RunHeader("a-run", "bot", "paper on live data", 0, "0", "0", {}, ())


def outcomes_of(
    core: Core[SimVenue], events: Sequence[MarketEvent], cuts: set[int]
) -> tuple[list[Outcome], list[tuple[int, float]]]:
    """Return all outcomes and the curve of a run that is put into a file and taken out again at each of `cuts`."""
    seen: list[Outcome] = []
    recorder = Recorder(core.engine, ("one", "two"))

    def watching(recorder: Recorder) -> Pump:
        def observe(outcome: Outcome) -> None:
            seen.append(outcome)
            recorder.observe(outcome)

        return Pump(core.engine, core.venue, observe=observe, timers=timers)

    timers: tuple[tuple[int, str, str], ...] = ()
    pump = watching(recorder)
    for opening in core.opening:
        pump.step(opening)
    for number, event in enumerate(events):
        if number in cuts:
            state = put_away(State(core.engine, core.venue, recorder, pump.timers))
            assert isinstance(state.venue, SimVenue)
            core, recorder, timers = Core(state.engine, state.venue, ()), state.recorder, state.timers
            pump = watching(recorder)
        pump.market(event)
    return seen, list(zip(recorder.ts, recorder.equity, strict=True))


def put_away(state: State) -> State:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.abj"
        with FileJournal(path, HEADER) as journal:
            assert checkpoint.put(path, checkpoint.packed(HEADER.run_id, "code", journal.mark, state))
            found = checkpoint.load(path, "code")
            assert found is not None
            assert found[0] == journal.mark
    return found[1]


@settings(max_examples=40, deadline=None)
@given(material=materials(), funding=rates, cuts=st.sets(st.integers(0, 30), max_size=3))
def test_bars_portfolios_and_protective_orders_go_on(
    material: Material, funding: list[float], cuts: set[int]
) -> None:
    events = events_of(material, funding)

    def core() -> Core[SimVenue]:
        return assemble(material, OrderIds(0, 0, b"t").make, tape=None, isolate=False)

    assert outcomes_of(core(), events, cuts) == outcomes_of(core(), events, set())


@settings(max_examples=30, deadline=None)
@given(case=cases, cuts=st.sets(st.integers(0, 4_000), max_size=3))
def test_ticks_books_timers_and_orders_under_way_go_on(case: Case, cuts: set[int]) -> None:
    events = list(merge(*feeds(case)).events())

    assert outcomes_of(core_of(case), events, cuts) == outcomes_of(core_of(case), events, set())
