"""A venue that answers few questions: one answer serves all who need it, and none waits for ever behind others."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.order import Side
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.net.budget import AHEAD, Budgets
from abidance.venues.net.limits import HostLimits, Request, Rule, Window, limits_of
from abidance.venues.net.transport import Answer
from abidance.venues.trading.inquiry import LAG
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

    await world.advance(20)

    assert [world.told(each)[-1] for each in lost] == ["OrderAbandoned"] * 3
    assert asked["ClosedOrders"] <= 6  # each for itself asks nine times


async def test_what_an_exit_hears_of_a_stop_that_it_waits_for_is_part_of_the_proof(world: World) -> None:
    world.submit()
    await world.advance(1)
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    world.gateway.dialect.ask_again = (1_000.0,)  # nobody else asks
    stop = world.stop_loss(below=300)
    await world.advance(7)
    known = world.gateway.register.get(stop)
    assert known is not None
    before = list(known.absent_at)

    for _ in range(2):
        await world.gateway._inquiry.look(known, urgent=True)
        await world.advance(3)

    assert (before, len(known.absent_at)) == ([], 2)


async def test_answers_before_an_order_could_have_arrived_are_no_part_of_it(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    known = world.gateway.register.get(world.submit())
    assert known is not None

    await world.advance(1)
    await world.gateway._inquiry.look(known)

    assert known.denied_at == world.pulse.steady()
    assert known.absent_at == []


async def test_a_slow_answer_counts_from_when_it_was_asked_for(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    world.gateway.dialect.ask_again = (1_000.0,)
    known = world.gateway.register.get(world.submit())
    assert known is not None
    known.was_there = True
    await world.advance(7)
    await world.gateway._inquiry.look(known)
    await world.advance(4)

    world.exchange.faults.add(Fault(Wrong.LATE, "ClosedOrders", 0, 1, 9.0))
    looking = asyncio.ensure_future(world.gateway._inquiry.look(known))
    await world.advance(10)

    assert await looking is None
    assert known.denied_at - known.absent_at[0] > LAG
    assert known.absent_at[1] - known.absent_at[0] < LAG


async def test_what_was_said_of_an_earlier_life_proves_nothing_of_the_next(world: World) -> None:
    stop = await world.guarded()
    known = world.gateway.register.get(stop)
    assert known is not None
    known.absent_at[:] = [1.0, 20.0]

    known.withdraw()
    known.release(world.pulse.wall(), ids_once=False)

    assert known.absent_at == []


async def test_an_urgent_question_answers_whoever_waits_for_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = questions(world, monkeypatch)
    call = world.gateway.dialect.open_orders()[0]
    budget = world.wire._budgets.of("http://127.0.0.1", limits_of("https://api.kraken.com"), "a-key")
    budget.heed(Answer(200, {}, b"EAPI:Rate limit exceeded"), Request("POST", "/0/private/OpenOrders"))
    ordinary = asyncio.ensure_future(world.gateway._inquiry._ask(call._replace(told="one")))
    await settle()

    urgent = asyncio.ensure_future(world.gateway._inquiry._ask(call._replace(is_urgent=True, told="two")))
    await world.advance(5)

    assert [each.done() and each.result().told for each in (ordinary, urgent)] == ["one", "two"]
    assert asked["OpenOrders"] == 1


# --- what need not be asked


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
    await world.advance(12)

    assert (meanwhile, in_doubt) == (0, True)
    assert world.told(lost)[-1] == "OrderAbandoned"
    assert asked["BalanceEx"] == 1
    assert world.gateway.doubts == {}
