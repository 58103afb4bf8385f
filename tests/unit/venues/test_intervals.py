"""At which intervals the gateway asks a venue while nothing happens, and what it asks after a reconnection."""

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.core import SELL, Force
from tests.unit.venues.trading_world import PERPETUALS, SCENES, World

IN_FLIGHT, OPEN_ORDERS, FILLS, FUNDS = 1.0, 10.0, 30.0, 60.0
STEP = 0.25
"""By how much time moves at once: an answer may come so much after its question."""

SPARING = {"KRAKEN"}
"""Where no question a second is taken."""


class Heard(World):
    """A world that notes when each question arrived."""

    def __init__(self, venue: str, *, is_perpetual: bool) -> None:
        self.moments: dict[str, list[float]] = {}
        super().__init__(venue=venue, is_perpetual=is_perpetual)

    async def request(self, method: str, url: str, *rest: Any) -> Any:
        path = url.partition("?")[0]
        self.moments.setdefault(path, []).append(self.pulse.now)
        return await super().request(method, url, *rest)

    def asked_for(self, path: str, since: float) -> list[float]:
        """Return when what ends so was asked, from a moment on; what is asked at one moment counts once."""
        found = {
            moment
            for asked, moments in self.moments.items()
            for moment in moments
            if asked.endswith(f"/{path}") and moment >= since
        }
        return sorted(found)


ACCOUNTS = [*((venue, False) for venue in SCENES), *((venue, True) for venue in PERPETUALS)]


@pytest.fixture(params=ACCOUNTS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[Heard]:
    venue, is_perpetual = request.param
    made = Heard(venue, is_perpetual=is_perpetual)
    await made.start()
    yield made
    await made.stop()


def gaps(moments: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(moments)]


async def test_each_comparison_is_made_at_its_interval(world: Heard) -> None:
    dialect, began = world.gateway.dialect, world.pulse.now
    exposures = dialect.exposures()
    intervals = {dialect.funds().path: FUNDS, dialect.executions(world.btc.id, 0).path: FILLS}
    intervals |= {each.path: OPEN_ORDERS for each in dialect.open_orders()}
    intervals |= {} if exposures is None else {exposures.path: FUNDS}
    world.rest()

    await world.advance(3 * FUNDS, STEP)

    for path, seconds in intervals.items():
        moments = world.asked_for(path, began)
        assert moments[0] - began <= seconds, path
        assert len(moments) == 3 * FUNDS / seconds, path
        assert gaps(moments) == pytest.approx([seconds] * (len(moments) - 1), abs=STEP), path


async def test_fills_and_open_orders_are_asked_for_at_once_after_a_reconnection(world: Heard) -> None:
    dialect = world.gateway.dialect
    await world.advance(2, STEP)  # between two comparisons
    broken = world.pulse.now
    world.ears[-1].is_over = True
    await world.ears[-1].close()

    await world.advance(3, STEP)

    assert len(world.ears) == 2
    for call in (dialect.executions(world.btc.id, 0), *dialect.open_orders()):
        assert len(world.asked_for(call.path, broken)) == 1, call.path


@pytest.mark.parametrize("world", [each for each in ACCOUNTS if each[0] not in SPARING], indirect=True)
async def test_executions_that_are_owed_are_asked_for_each_second(world: Heard) -> None:
    book, path = world.market.book, world.gateway.dialect.executions(world.btc.id, 0).path
    order = world.rest()
    await world.advance(2, STEP)
    world.exchange.faults.add(Fault(Wrong.GAP, "account ", 0, 0))
    world.exchange.faults.add(Fault(Wrong.ERROR, path, 0, 0))
    (price,) = (each.ticket.price for each in world.exchange.desk.orders.values())
    book.submit(world.exchange.now, "somebody", SELL, book.available(SELL, price), price, Force.IOC)
    await world.advance(2 * OPEN_ORDERS, STEP)
    owing, began = [each.id for each in world.gateway.register.owing()], world.pulse.now

    await world.advance(10, STEP)

    moments = world.asked_for(path, began)
    assert owing == [order]
    assert len(moments) >= 10
    assert max(gaps(moments)) <= IN_FLIGHT + STEP
