"""When an order leaves: as its first byte does, and not while its connection is still being made."""

import pytest

from abidance.model.instrument import SECOND_NS
from abidance.risk.circuits import Sign
from abidance.venues.trading.wire import PATIENCE
from tests.unit.venues.trading_world import World


@pytest.fixture
async def connecting() -> World:
    """Return a world in which connections take a while from now on, and in which signs are kept."""
    world = await World().start()
    world.seen = []  # type: ignore[attr-defined]
    world.signs = lambda sign, _value, text: world.seen.append((sign, text))  # type: ignore[attr-defined]
    world.connecting = 3.0
    return world


def unanswered(world: World) -> list[str]:
    return [text for sign, text in world.seen if sign is Sign.UNANSWERED]  # type: ignore[attr-defined]


async def test_a_bot_that_is_killed_while_it_connects_has_sent_nothing_and_trades_again_at_once(
    connecting: World,
) -> None:
    order = connecting.rest()
    await connecting.advance(1)
    on_the_way = set(connecting.departed)

    connecting.connecting = 0.0
    await connecting.restart()
    await connecting.advance(1)

    assert on_the_way == set()
    assert (connecting.told(order), connecting.placed(order)) == (["OrderRejected"], 0)
    assert not connecting.gateway.doubts
    await connecting.advance(60)
    assert connecting.placed(order) == 0
    await connecting.stop()


async def test_a_bot_that_is_killed_before_the_answer_trades_again_within_five_seconds() -> None:
    world = await World().start()
    resting = [world.rest(below=500 + n, quantity="0.001") for n in range(50)]
    await world.advance(2)
    world.is_busy = True  # what is told dies with the process
    order = world.rest()
    await world.advance(0.25)
    early = world.told(order), world.placed(order)
    world.unheard.clear()
    world.is_busy = False

    await world.restart()
    await world.advance(4, step=0.05)

    assert early == ([], 1)
    assert not world.gateway.doubts
    assert {world.told(each)[-1] for each in (*resting, order)} == {"OrderAccepted"}
    assert {world.placed(each) for each in (*resting, order)} == {1}
    await world.stop()


async def test_an_order_that_is_taken_back_while_it_connects_never_leaves_and_is_no_sign_against_the_venue(
    connecting: World,
) -> None:
    order = connecting.rest()
    await connecting.advance(1)

    connecting.cancel(order)
    await connecting.advance(10)
    await connecting.stop()

    assert (connecting.told(order), connecting.placed(order)) == (["OrderRejected"], 0)
    assert order not in connecting.departed
    assert unanswered(connecting) == []


async def test_a_kill_while_orders_connect_lets_none_of_them_leave(connecting: World) -> None:
    orders = [connecting.rest(below=500 + n) for n in range(3)]
    await connecting.advance(1)

    connecting.gateway.cancel_all()
    await connecting.advance(10)
    await connecting.stop()

    assert [connecting.told(each) for each in orders] == [["OrderRejected"]] * 3
    assert connecting.posted() == 0


async def test_an_order_for_which_there_is_no_connection_in_time_was_not_sent(connecting: World) -> None:
    connecting.connecting = PATIENCE + 5.0

    order = connecting.rest()
    await connecting.advance(PATIENCE + 1)
    early = connecting.told(order)
    await connecting.advance(30)
    await connecting.stop()

    assert early == ["OrderRejected"]
    found = connecting.orders.get(order)
    assert found is not None
    assert found.reason.startswith("not sent: ")
    assert (connecting.told(order), connecting.placed(order)) == (["OrderRejected"], 0)
    assert len(unanswered(connecting)) >= 1


async def test_an_order_counts_as_sent_when_it_leaves_and_not_when_its_connection_is_begun(
    connecting: World,
) -> None:
    began = connecting.pulse.wall()
    order = connecting.rest()
    await connecting.advance(1)
    found = connecting.gateway.register.get(order)
    assert found is not None
    early = found.left
    await connecting.advance(5)
    await connecting.stop()

    assert not early
    assert (found.left, connecting.placed(order)) == (True, 1)
    assert found.sent_at - began >= 3 * SECOND_NS
