"""A venue that answers few questions: one answer serves all who need it, and none waits for ever behind others."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.order import Side
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import Call
from abidance.venues.net.budget import AHEAD, Budgets
from abidance.venues.net.limits import HostLimits, Request, Rule, Window
from abidance.venues.net.transport import Answer
from abidance.venues.trading.inquiry import LAG
from abidance.venues.trading.line import Way
from abidance.venues.trading.questions import Asked, Questions
from abidance.venues.trading.tracked import Tracked
from tests.unit.venues.net_world import HandPulse, settle
from tests.unit.venues.trading_world import World

COUNT = Window("calls", 20, 40.0, under="/private", falls=True, said=("too soon",))
COUNTED = HostLimits("FAKE", (COUNT,), 1.0, (Rule("/private/history", 2.0), Rule("/private/order")))
RATE = COUNT.limit / COUNT.seconds
ANY, TOO_SOON = Request("GET", "/private/any"), Answer(200, {}, b"too soon")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = await World(venue="KRAKEN").start()
    yield made
    await made.stop()


def questions(world: World, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return how often what is asked from now on, by its name."""
    request, asked = world.request, Counter[str]()

    async def counted(method: str, url: str, *rest: Any) -> Answer:
        asked[url.rpartition("/")[2]] += 1
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", counted)
    return asked


# --- the line of those who wait


@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.floats(0, 30), st.sampled_from(["any", "history"])), min_size=1, max_size=8),
)
def test_each_question_is_asked_in_time_however_often_urgent_ones_are_repeated(
    many: int, wanted: list[tuple[float, str]]
) -> None:
    async def played() -> list[float]:
        pulse = HandPulse()
        budget, waited = Budgets(pulse).of("host", COUNTED), list[float]()
        budget.heed(TOO_SOON, ANY)

        async def repeat() -> None:
            while True:
                await budget.take(ANY, ahead=AHEAD)

        async def ask(path: str) -> None:
            began = pulse.now
            await budget.take(Request("GET", f"/private/{path}"))
            waited.append(pulse.now - began)

        urgent = [asyncio.ensure_future(repeat()) for _ in range(many)]
        asked = []
        for pause, path in wanted:
            await pulse.advance(pause)
            asked.append(asyncio.ensure_future(ask(path)))
        await pulse.advance(200)
        for each in urgent:
            each.cancel()
        await asyncio.gather(*urgent, *asked, return_exceptions=True)
        return waited

    waited = asyncio.run(played())

    weight = sum(2.0 if path == "history" else 1.0 for _, path in wanted)
    most = AHEAD + (weight + many + COUNT.limit * COUNT.reserve) / RATE
    assert len(waited) == len(wanted)
    assert max(waited) <= most + 0.1


async def test_urgent_questions_go_ahead_of_those_that_came_a_moment_before_them() -> None:
    pulse = HandPulse()
    budget, left = Budgets(pulse).of("host", COUNTED), list[str]()
    budget.heed(TOO_SOON, ANY)

    async def ask(name: str, ahead: float) -> None:
        await budget.take(ANY, ahead=ahead)
        left.append(name)

    asked = [asyncio.ensure_future(ask("early", 0.0))]
    await pulse.advance(1)
    asked += [asyncio.ensure_future(ask(name, ahead)) for name, ahead in (("late", 0.0), ("urgent", AHEAD))]
    await pulse.advance(60)
    await asyncio.gather(*asked)

    assert left == ["urgent", "early", "late"]


async def test_a_change_leaves_at_once_however_many_questions_wait() -> None:
    pulse = HandPulse()
    limits = HostLimits("FAKE", (Window("weight", 100, 60.0),), 10.0)
    budget = Budgets(pulse).of("host", limits)
    asked = [asyncio.ensure_future(budget.take(Request("GET", "/any"), ahead=AHEAD)) for _ in range(20)]
    await pulse.advance(30)

    change = asyncio.ensure_future(budget.take(Request("GET", "/any"), ahead=float("inf")))
    await settle()

    assert sum(each.done() for each in asked) == 9
    assert change.done()
    for each in asked:
        each.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_who_waits_for_one_count_does_not_hold_up_what_is_not_counted_there() -> None:
    pulse = HandPulse()
    budget = Budgets(pulse).of("host", COUNTED)
    budget.heed(TOO_SOON, ANY)
    asked = asyncio.ensure_future(budget.take(ANY))
    await settle()

    time = asyncio.ensure_future(budget.take(Request("GET", "/public/time")))
    await settle()

    assert (asked.done(), time.done()) == (False, True)
    await pulse.advance(60)
    await asked


# --- what one answer tells


async def test_orders_that_never_arrived_are_proven_absent_by_the_same_questions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 3))
    lost = []
    for _ in range(3):  # not at the same time
        lost.append(world.submit())
        await world.advance(1.5)
    asked = questions(world, monkeypatch)

    await world.advance(25)

    assert [world.told(each)[-1] for each in lost] == ["OrderAbandoned"] * 3
    assert asked["ClosedOrders"] <= 6  # each for itself asks nine times


async def never_arrived(world: World) -> Tracked:
    """Return an order of which the gateway knows nothing, and of which nobody asks."""
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    world.gateway.dialect.ask_again = (1_000.0,)
    known = world.gateway.register.get(world.submit())
    assert known is not None
    await world.advance(1)
    return known


async def test_whoever_looks_for_an_order_helps_to_prove_it_absent(world: World) -> None:
    known, inquiry = await never_arrived(world), world.gateway._inquiry
    await world.advance(6)
    await inquiry.look(known)
    await world.advance(LAG - 1)

    await inquiry.look(known)
    early = inquiry.is_absent(known)
    await world.advance(2)
    await inquiry.look(known)

    assert (early, inquiry.is_absent(known)) == (False, True)


async def test_a_page_that_may_have_left_an_order_out_denies_it_to_nobody(world: World) -> None:
    asked, other = await never_arrived(world), await never_arrived(world)
    told = {"status": "closed", "vol": "1", "vol_exec": "1", "descr": {"pair": "XBTUSDT", "type": "buy"}}
    page = json.dumps({"error": [], "result": {"closed": {f"O{n}": told for n in range(50)}}}).encode()
    world.instead = lambda each: (
        Answer(200, {}, page) if each.path.endswith("ClosedOrders") and b"start=" in each.body else None
    )
    await world.advance(6)

    looking = asyncio.ensure_future(world.gateway._inquiry.look(asked))
    await world.advance(5)

    assert await looking is None
    assert asked.absent_from is not None
    assert other.absent_from is None


async def test_answers_before_an_order_could_have_arrived_are_no_part_of_the_proof(world: World) -> None:
    known, inquiry = await never_arrived(world), world.gateway._inquiry
    await inquiry.look(known)

    await world.advance(LAG + 5)
    await inquiry.look(known)

    assert known.denied_at == world.pulse.steady()
    assert not inquiry.is_absent(known)


async def test_a_slow_answer_counts_from_when_it_was_asked_for(world: World) -> None:
    known, inquiry = await never_arrived(world), world.gateway._inquiry
    await world.advance(6)
    await inquiry.look(known)
    await world.advance(LAG - 8)

    world.exchange.faults.add(Fault(Wrong.LATE, "ClosedOrders", 0, 1, 9.0))
    looking = asyncio.ensure_future(inquiry.look(known))
    await world.advance(10)

    assert await looking is None
    assert not inquiry.is_absent(known)


async def test_one_that_was_asked_before_the_time_of_an_order_is_early_whenever_it_is_answered(
    world: World,
) -> None:
    known, inquiry = await never_arrived(world), world.gateway._inquiry
    world.exchange.faults.add(Fault(Wrong.LATE, "ClosedOrders", 0, 1, 9.0))

    looking = asyncio.ensure_future(inquiry.look(known))
    await world.advance(10)

    assert await looking is None
    assert known.absent_from is None


async def test_the_second_look_is_long_after_the_answer_to_the_first(world: World) -> None:
    known, inquiry = await never_arrived(world), world.gateway._inquiry
    await world.advance(6)
    world.exchange.faults.add(Fault(Wrong.LATE, "ClosedOrders", 0, 1, 9.0))
    looking = asyncio.ensure_future(inquiry.look(known))
    await world.advance(LAG + 1)

    assert await looking is None
    await inquiry.look(known)

    assert not inquiry.is_absent(known)


@pytest.mark.parametrize("sign", ["report", "acceptance", "next life"])
async def test_what_shows_that_an_order_was_there_voids_what_was_denied_before(
    world: World, sign: str
) -> None:
    stop, inquiry = await world.guarded(), world.gateway._inquiry
    known = world.gateway.register.get(stop)
    assert known is not None
    known.absent_from, known.denied_at = 1.0, 100.0
    before = inquiry.is_absent(known)

    if sign == "report":
        assert await inquiry.look(known) is not None
    elif sign == "acceptance":
        world.gateway.register.accepted(known, world.pulse.wall())
    else:
        known.withdraw()
        known.release(world.pulse.wall(), ids_once=False)

    assert (before, inquiry.is_absent(known)) == (True, False)


async def test_an_exit_asks_itself_what_became_of_a_stop_unless_that_was_asked_since_it_was_to_be_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = await world.guarded()
    known = world.gateway.register.get(stop)
    assert known is not None
    world.exchange.faults.add(Fault(Wrong.LOST, "CancelOrder", 0, 0))
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=0))
    known.denied_at = world.pulse.steady()  # before anybody wished to take it back
    await world.advance(0.5)
    asked = questions(world, monkeypatch)

    world.submit(Side.SELL, "0.04", reduce_only=True)
    await world.advance(1)

    assert asked["OpenOrders"] == 1


# --- who waits to ask the same


class Line:
    """A wire on which nothing leaves until it is let go; `waiting` is what would leave, and by whose place."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Call, float]] = []
        self._gates: list[asyncio.Future[Answer]] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def ask(self, call: Call, leaving: Callable[[], None], *, waits: bool, came: float) -> Answer:
        place, gate = (call, came), asyncio.get_running_loop().create_future()
        self.waiting.append(place)
        self._gates.append(gate)
        try:
            answer: Answer = await gate
        except asyncio.CancelledError:
            at = self.waiting.index(place)
            del self.waiting[at], self._gates[at]
            raise
        assert waits
        leaving()
        await self.answers.wait()
        return answer

    async def let_go(self, text: bytes = b"") -> None:
        """Let all that wait leave, and answer them."""
        for gate in self._gates:
            gate.set_result(Answer(200, {}, text))
        await settle()
        self.waiting.clear()
        self._gates.clear()


class Asker(Questions):
    """Questions over a `line`, at a time that a test moves."""

    def __init__(self) -> None:
        self.line, self.pulse, nobody = Line(), HandPulse(), cast(Any, None)
        super().__init__(Way(cast(Any, self.line), nobody, cast(Any, self.pulse), nobody, nobody))

    def asks(self, name: str, *, urgent: bool = False, came: float = inf) -> "asyncio.Task[Answer]":
        call = Call((), "POST", name, is_urgent=urgent)
        return asyncio.ensure_future(self.ask(call, came))

    def asks_since(self, since: int, *, urgent: bool = False) -> "asyncio.Task[Asked]":
        call = Call((), "POST", "fills", {"start": since}, is_urgent=urgent)
        return asyncio.ensure_future(self.ask_since(call, "fills", since))


@pytest.mark.parametrize("urgent_first", [True, False])
async def test_an_urgent_question_answers_those_who_wait_to_ask_the_same_without_haste(
    *, urgent_first: bool
) -> None:
    asker = Asker()

    asked = []
    for urgent in (urgent_first, not urgent_first):
        asked.append(asker.asks("open", urgent=urgent))
        await settle()

    assert [call.is_urgent for call, _ in asker.line.waiting] == [True]
    await asker.line.let_go(b"all")
    assert [(await each).body for each in asked] == [b"all", b"all"]


async def test_who_asks_once_a_question_has_left_wants_to_know_of_what_comes_later() -> None:
    asker = Asker()
    asker.line.answers.clear()
    first = asker.asks("open")
    await settle()
    await asker.line.let_go(b"before")

    second = asker.asks("open")
    await settle()
    asker.line.answers.set()
    await asker.line.let_go(b"after")

    assert ((await first).body, (await second).body) == (b"before", b"after")


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=6))
def test_whoever_waits_for_what_was_is_answered_as_early_and_as_urgently_as_any_of_them_wishes(
    wishes: list[tuple[int, bool]],
) -> None:
    async def played() -> None:
        asker, asked = Asker(), []
        for since, urgent in wishes:
            asked.append(asker.asks_since(since, urgent=urgent))
            await settle()

        ((call, _),) = asker.line.waiting
        await asker.line.let_go()

        assert call.params == {"start": min(since for since, _ in wishes)}
        assert call.is_urgent == any(urgent for _, urgent in wishes)
        assert all([(await each).call == call for each in asked])

    asyncio.run(played())


async def test_one_that_goes_instead_keeps_the_better_place() -> None:
    asker = Asker()
    early = asker.asks("closed", came=-7.0)
    await settle()
    late = asker.asks("closed", urgent=True)
    await settle()

    assert [(call.is_urgent, came) for call, came in asker.line.waiting] == [(True, -7.0)]
    await asker.line.let_go()
    await asyncio.gather(early, late)


async def test_who_gives_up_waiting_takes_the_answer_from_nobody_else() -> None:
    asker = Asker()
    asked = [asker.asks("open"), asker.asks("open")]
    await settle()

    asked[0].cancel()
    await settle()
    await asker.line.let_go(b"all")

    assert (await asked[1]).body == b"all"


# --- what need not be asked


async def use_up(world: World) -> None:
    """Let somebody else use all questions."""
    budget, asked = world.gateway._way.wire._counted(world.gateway.dialect.funds())
    budget.heed(Answer(200, {}, b"EAPI:Rate limit exceeded"), asked)


async def test_while_questions_are_short_none_is_asked_that_cannot_prove_an_order_absent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    await use_up(world)
    asked = questions(world, monkeypatch)
    lost = world.submit()

    await world.advance(28)

    assert world.told(lost)[-1] == "OrderAbandoned"
    assert asked["ClosedOrders"] == 2


@pytest.mark.parametrize(("are_short", "apart", "waits"), [(False, 6, 2), (True, 6, 8), (True, 9, 2)])
async def test_while_questions_are_short_proofs_wait_a_little_for_each_other(
    world: World, *, are_short: bool, apart: int, waits: int
) -> None:
    first, second = await never_arrived(world), await never_arrived(world)
    await world.advance(10)
    first.absent_from = world.pulse.steady() - LAG + 2
    second.absent_from = first.absent_from + apart

    if are_short:
        await use_up(world)

    assert world.gateway._inquiry._due_in(first) == pytest.approx(waits, abs=0.1)


async def test_who_looks_for_an_order_keeps_its_place_in_the_line_to_the_last_question(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, inquiry, request = await never_arrived(world), world.gateway._inquiry, world.request
    left = list[str]()

    async def noted(method: str, url: str, *rest: Any) -> Answer:
        left.append(url.rpartition("/")[2])
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", noted)
    await use_up(world)
    looking = asyncio.ensure_future(inquiry.look(known))
    await world.advance(1)
    sweeping = asyncio.ensure_future(inquiry.sweep_one(known.request.instrument, known.sent_at, urgent=True))
    await world.advance(25)
    await asyncio.gather(looking, sweeping)

    assert [each for each in left if each in ("ClosedOrders", "TradesHistory")][:2] == [
        "ClosedOrders",
        "TradesHistory",
    ]


async def test_an_exit_waits_for_a_proof_that_is_due_soon_and_asks_nothing_while_questions_are_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, keeping = await never_arrived(world), world.gateway._keeping
    await world.advance(6)
    assert await world.gateway._inquiry.look(known) is None
    known.asked_off_at = known.denied_at
    await world.advance(LAG - 3)
    await use_up(world)
    asked = questions(world, monkeypatch)

    asking = asyncio.ensure_future(keeping._ask_after(known))
    await world.advance(1)

    assert asking.done()
    assert known.is_doubted
    assert asked["OpenOrders"] == 0


async def test_executions_are_not_asked_for_again_that_somebody_has_asked_for_since(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, inquiry = await never_arrived(world), world.gateway._inquiry
    before = world.pulse.steady()
    await inquiry.sweep_one(known.request.instrument, known.sent_at, urgent=True)
    asked = questions(world, monkeypatch)

    await inquiry.sweep(after=before)
    known_already = asked["TradesHistory"]
    await inquiry.sweep(after=world.pulse.steady() + 1)

    assert (known_already, asked["TradesHistory"]) == (0, 1)


async def test_nobody_asks_for_what_an_account_has_while_that_can_only_be_weighed_in_part_and_questions_are_short(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await never_arrived(world)
    await use_up(world)
    asked = questions(world, monkeypatch)

    comparing = asyncio.ensure_future(world.gateway.scales.compare())
    await world.advance(5)

    assert comparing.done()
    assert not comparing.result()
    assert asked["BalanceEx"] == 0


async def test_a_start_asks_once_for_what_it_and_the_stream_that_begins_want_to_know(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rest()
    await world.advance(2)
    asked = questions(world, monkeypatch)

    await world.restart()
    await world.advance(4)

    assert world.gateway.doubts == {}
    assert asked["TradesHistory"] == 1
    assert asked["OpenOrders"] == 2  # before and after somebody listened
    assert asked["BalanceEx"] == 1


async def test_nobody_asks_what_an_account_has_while_that_can_prove_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    lost = world.submit(Side.BUY)
    await world.advance(1)
    asked = questions(world, monkeypatch)
    await world.restart()

    await world.advance(4)
    meanwhile, in_doubt = asked["BalanceEx"], "start" in world.gateway.doubts
    await world.advance(20)

    assert (meanwhile, in_doubt) == (0, True)
    assert world.told(lost)[-1] == "OrderAbandoned"
    assert asked["BalanceEx"] == 1
    assert world.gateway.doubts == {}
