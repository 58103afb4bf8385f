"""Fills are told at once, also where the private stream says only that an order filled and not its executions."""

import pytest

from tests.unit.venues.trading_world import SCENES, D, World


@pytest.mark.parametrize("venue", SCENES)
async def test_an_order_that_filled_has_its_fills_within_a_quarter_of_a_second(venue: str) -> None:
    world = await World(venue=venue).start()
    await world.advance(2)  # between two looks for what is owed

    order = world.submit(quantity="0.5")
    await world.advance(0.25)
    filled = world.filled(order)
    await world.stop()

    assert filled == D("0.5")
