"""A bot that may not have its account alone risks nothing new, takes back what rests to enter, and keeps its exits."""

import asyncio
from pathlib import Path

import pytest

from abidance.model.event import ControlAction
from abidance.model.order import OrderState
from abidance.run.checkpoint import CHECKPOINT
from abidance.run.door import Answer, Wish, ask
from abidance.run.trading import LiveTrading
from abidance.testing.exchange.desk import State
from abidance.venues.trading.register import ANOTHER
from tests.integration.test_live_paper import BTC
from tests.integration.test_live_trading import D, Market

LOST = "the lease on BINANCE main could not be renewed: the database is gone."


@pytest.fixture
def place(tmp_path: Path) -> Market:
    return Market(tmp_path / "one")


async def types(place: Market, side: str, quantity: str, **more: float | str | bool) -> Answer:
    """Give a bot an order by hand, and let it come about."""
    values: dict[str, float | int | str | bool] = {"instrument": BTC, "side": side, "quantity": quantity}
    wish = Wish(ControlAction.ORDER, "tester", "cross", values | more)
    answer = await asyncio.to_thread(ask, place.folder, wish)
    await place.pass_time(2)
    return answer


async def enters(place: Market, **more: float | str | bool) -> Answer:
    return await types(place, "buy", "0.01", stop_distance=900.0, **more)


def standing(place: Market) -> dict[str, State]:
    """Return what stands at the venue, by our ids."""
    orders = place.exchange.desk.orders.values()
    return {each.ticket.client_id: each.state for each in orders if each.state.is_working}


async def test_while_the_lease_is_not_sure_only_exits_leave_and_what_rests_to_enter_is_taken_back(
    place: Market,
) -> None:
    told: dict[str, Answer] = {}
    stood: list[set[State]] = []

    async def person(bot: LiveTrading) -> None:
        told["held"] = await enters(place)
        low = f"{bot.engine.state.price(BTC) - 2_000:.2f}"  # type: ignore[operator]
        told["rests"] = await enters(place, type="limit", price=low)
        stood.append(set(standing(place).values()))

        place.doubt = LOST
        await place.pass_time(3)
        stood.append(set(standing(place).values()))
        told["refused"] = await enters(place)
        told["exit"] = await types(place, "sell", "0.005", reduce_only=True)
        await place.pass_time(3)

        place.doubt = ""
        await place.pass_time(3)
        told["again"] = await enters(place)

    async with place:
        bot = await place.live(3, person=person)
        place.agrees(bot)

    orders = bot.engine.state.orders
    states = {name: orders.get(each.orders[0]).state for name, each in told.items() if each.orders}  # type: ignore[union-attr]
    assert stood == [{State.OPEN, State.WAITING}, {State.WAITING}]
    assert states == {
        "held": OrderState.FILLED,
        "rests": OrderState.CANCELLED,
        "exit": OrderState.FILLED,
        "again": OrderState.FILLED,
    }
    assert [each.code for each in told["refused"].refusals] == ["venue_not_trusted"]
    assert LOST in told["refused"].refusals[0].reason
    (position,) = bot.engine.state.portfolio.open_positions()
    assert position.quantity > D("0.0149")
    log = (place.folder / "bot.log").read_text()
    assert "account_not_ours_alone" in log


async def test_an_entry_that_was_decided_before_does_not_leave_once_the_lease_is_not_sure(
    place: Market,
) -> None:
    answers: list[Answer] = []

    async def person(_: LiveTrading) -> None:
        place.disk.hangs = True  # it waits for its record, and meanwhile the account is lost
        answers.append(await enters(place))
        place.doubt = LOST
        place.disk.let_go()
        await place.pass_time(1)

    async with place:
        bot = await place.live(3, person=person)

    (order,) = (bot.engine.state.orders.get(id) for id in answers[0].orders)
    assert order is not None
    assert order.state in (OrderState.REJECTED, OrderState.CANCELLED)
    assert not place.exchange.desk.orders


async def test_a_second_bot_on_the_account_is_found_out_by_its_first_order(
    place: Market, tmp_path: Path
) -> None:
    other = Market(tmp_path / "two")
    other.exchange, other.account, other.market = place.exchange, place.account, place.market
    other.pulse = place.pulse
    told: dict[str, Answer] = {}
    doubts: list[dict[str, str]] = []
    stops: list[set[str]] = []

    async def buys(bot: LiveTrading) -> None:
        stops.append(set(standing(place)))
        told["theirs"] = await enters(other)
        stops.append(set(standing(place)))
        doubts.append(dict(bot.gateways[0].doubts))

    async def person(bot: LiveTrading) -> None:
        told["before"] = await enters(place)
        await other.live(3, person=buys)
        told["after"] = await enters(place)
        doubts.append(dict(bot.gateways[0].doubts))
        told["exit"] = await types(place, "sell", "0.005", reduce_only=True)

    async with place:
        bot = await place.live(3, person=person)

    theirs, ours = doubts
    assert ANOTHER not in theirs  # what stood when it began proves nothing of who runs
    assert told["theirs"].orders[0] in ours[ANOTHER]
    assert [each.code for each in told["after"].refusals] == ["venue_not_trusted"]
    assert "another bot of this program trades on this account" in told["after"].refusals[0].reason
    assert bot.engine.state.orders.get(told["exit"].orders[0]).state is OrderState.FILLED  # type: ignore[union-attr]
    (stood,) = stops[0]
    assert f"({stood}, of another run of this program)" in (other.folder / "bot.log").read_text()
    assert stops[0] < stops[1]  # each leaves the other's stop alone


@pytest.mark.parametrize("is_put_away", [False, True])
async def test_an_order_by_hand_is_placed_once_though_its_bot_began_anew(
    place: Market, is_put_away: bool
) -> None:
    values: dict[str, float | int | str | bool] = {"instrument": BTC, "side": "buy", "quantity": "0.01"}
    wish = Wish(ControlAction.ORDER, "tester", "cross", values | {"stop_distance": 900.0}, id="tester:1")
    answers: list[Answer] = []

    async def person(bot: LiveTrading) -> None:
        answers.append(await asyncio.to_thread(ask, place.folder, wish))
        await place.pass_time(2)
        if is_put_away:
            bot._save()
            await place.pass_time(2)

    async with place:
        await place.live(3, person=person)
        kept = (place.folder / CHECKPOINT).exists()
        again = await place.live(3, person=person)
        place.agrees(again)

    assert kept is is_put_away
    assert len(answers[0].orders) == 1
    assert answers[1] == answers[0]
    ids = [each.ticket.client_id for each in place.exchange.desk.orders.values() if each.ticket.side > 0]
    assert ids == [*answers[0].orders]
