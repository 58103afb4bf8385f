"""What is believed of the time that a venue tells, and of our own clock, when answers are slow or it is set."""

import asyncio
from typing import Any

import pytest

from abidance.model.instrument import SECOND_NS
from abidance.risk.circuits import Sign
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.trading.clock import AGAIN, SURE, TRIES
from tests.unit.venues.trading_world import World

TIME = "/api/v3/time"


async def measured(world: World, *slow: Fault) -> list[Fault]:
    """Let the clock be measured while answers about the time are slow."""
    faults = [world.exchange.faults.add(each) for each in slow]
    asked = asyncio.ensure_future(world.gateway.set_clock())
    while not asked.done():
        await world.advance(0.25)
    await asked
    return faults


def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list in which each question for the time will be."""
    asked, request = list[str](), world.request

    async def heard(method: str, url: str, *rest: Any) -> Any:
        if TIME in url:
            asked.append(url)
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", heard)
    return asked


@pytest.mark.parametrize("wrong", [Wrong.SLOW, Wrong.LATE])
async def test_the_time_is_asked_again_when_the_answer_was_slow(wrong: Wrong) -> None:
    world = await World().start()

    (slow,) = await measured(world, Fault(wrong, TIME, 0, 1, 4.0))

    assert slow.hits == 1
    assert world.wire.offset == 0
    await world.stop()


async def test_what_is_known_outlives_answers_that_are_all_slow() -> None:
    world = await World().start()

    (slow,) = await measured(world, Fault(Wrong.SLOW, TIME, 0, TRIES, 4.0))

    assert slow.hits == TRIES
    assert world.wire.offset == 0
    await world.stop()


async def test_a_slow_answer_that_what_is_known_cannot_explain_is_believed() -> None:
    world = await World().start()
    world.wire.offset = -20 * SECOND_NS

    await measured(world, Fault(Wrong.SLOW, TIME, 0, TRIES, 4.0))

    assert abs(world.wire.offset) <= 2 * SECOND_NS
    await world.stop()


async def test_a_clock_that_is_not_known_well_is_measured_again_once_answers_are_quick() -> None:
    world = World()
    world.exchange.faults.add(Fault(Wrong.SLOW, TIME, 0, 0, 4.0))
    await world.start()
    await world.advance(5 * TRIES)
    unsure = abs(world.wire.offset)

    world.exchange.faults.clear()
    await world.advance(AGAIN + 5)

    assert unsure > SURE
    assert abs(world.wire.offset) < SURE
    await world.stop()


async def test_our_clock_is_not_judged_by_answers_that_are_all_slow() -> None:
    world, seen = await World().start(), list[float]()
    world.signs = lambda sign, value, _text: seen.append(value) if sign is Sign.CLOCK else None

    await measured(world, Fault(Wrong.SLOW, TIME, 0, TRIES, 4.0))
    slow = list(seen)
    await measured(world)

    assert slow == []
    assert seen == [0.0]
    await world.stop()


async def test_quick_answers_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World().start()
    asked = counted(world, monkeypatch)

    await measured(world)

    assert len(asked) == 1
    await world.stop()


async def test_the_absence_of_an_order_is_proven_whatever_somebody_does_to_our_clock() -> None:
    world = await World(venue="KRAKEN").start()
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, 0, 1))
    world.wire.offset = 40 * SECOND_NS  # somebody has set our clock, and nobody has noticed yet
    order = world.rest()
    tracked = world.gateway.register.get(order)
    assert tracked is not None
    while tracked.absent_from is None:
        await world.advance(0.25)

    await measured(world)
    await world.advance(20)

    assert world.told(order)[-1] == "OrderAbandoned"
    await world.stop()
