"""Orders at any other venue, through ccxt: the contract of all gateways, and doubt where nothing is proven."""

from collections.abc import AsyncIterator, Callable

import pytest

from abidance.model.command import Submit
from abidance.model.errors import UsageError, VenueError
from abidance.model.event import BalanceChanged, OrderFilled, OrderRejected
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.model.order import OrderRequest, OrderType, Side, TimeInForce
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import Call
from abidance.venues.accounts import account_of
from abidance.venues.ccxt.account import WINDOW_S, CcxtSpotAccount
from abidance.venues.net.transport import Answer
from abidance.venues.trading import inquiry
from tests.unit.venues.other_venue import OTHERS, other
from tests.unit.venues.test_gateway import (  # noqa: F401
    test_a_cancel_that_comes_after_the_fill_ends_in_the_fill,
    test_a_held_order_is_changed_and_taken_back_here,
    test_a_held_order_is_sent_when_its_price_comes,
    test_a_new_process_finds_what_became_of_the_orders_of_the_old_one,
    test_a_stop_on_its_way_back_to_us_is_not_sent_by_a_price,
    test_an_order_of_ours_that_no_record_tells_of_is_taken_back,
    test_an_order_that_never_left_is_rejected_at_once,
    test_more_fills_than_a_page_holds_are_found_page_by_page,
    test_somebody_who_trades_by_hand_is_recognised,
)
from tests.unit.venues.trading_world import D, World

ID = "0123456789abcdef0123456789abcdef"


def listed(id: str) -> Instrument:
    return Instrument(id, D("0.1"), D("0.00001"), D("0.00001"), D(5))


@pytest.fixture(params=OTHERS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    made = await World(venue=request.param, speaks=other).start()
    yield made
    await made.stop()


async def test_a_first_order_is_looked_up_before_it_is_believed(world: World) -> None:
    first = world.rest()
    await world.advance(2)
    second = world.rest()
    await world.advance(2)

    assert world.told(first) == ["OrderUnknown", "OrderAccepted"]
    assert world.told(second) == ["OrderAccepted"]
    assert (world.placed(first), world.placed(second)) == (1, 1)
    assert world.gateway.doubts == {}


async def test_fills_come_without_a_stream_each_once(world: World) -> None:
    order = world.submit(quantity="0.5")
    await world.advance(4)

    ids = [event.fill.id for event in world.events if isinstance(event, OrderFilled)]
    assert world.filled(order) == D("0.5")
    assert len(ids) == len(set(ids))
    assert world.ears == []


@pytest.mark.parametrize("wrong", [Wrong.LOST, Wrong.FAIL])
async def test_an_order_whose_answer_was_lost_is_found_and_never_sent_again(
    world: World, wrong: Wrong
) -> None:
    world.exchange.faults.add(Fault(wrong, world.scene.order))

    order = world.rest()
    await world.advance(20)

    assert world.told(order) == ["OrderUnknown", "OrderAccepted"]
    assert world.placed(order) == 1


async def test_absence_is_no_proof_before_an_order_was_ever_found(world: World) -> None:
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order))

    lost = world.rest()
    await world.advance(WINDOW_S + 60, step=1)
    early = world.told(lost)
    found = world.rest()
    await world.advance(60, step=1)

    assert early == ["OrderUnknown"]
    assert world.told(lost) == ["OrderUnknown", "OrderAbandoned"]
    assert world.told(found)[-1] == "OrderAccepted"
    assert world.placed(lost) == 0


async def test_an_order_that_stands_shows_a_new_process_that_absence_is_a_proof(world: World) -> None:
    stands = world.rest()
    await world.advance(3)
    await world.restart()
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order))

    lost = world.rest()
    await world.advance(WINDOW_S + 30, step=1)

    assert world.told(stands)[-1] == "OrderAccepted"
    assert world.told(lost) == ["OrderUnknown", "OrderAbandoned"]


async def test_without_that_each_order_must_be_absent_for_long_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inquiry, "UNSHOWN", 90.0)
    world = await World(venue="KUCOIN", speaks=other).start()
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order, times=3))

    lost = [world.rest() for _ in range(3)]
    await world.advance(WINDOW_S + 80, step=1)
    early = [world.told(each) for each in lost]
    await world.advance(30, step=1)
    doubts = dict(world.gateway.doubts)
    await world.stop()

    assert early == [["OrderUnknown"]] * 3
    assert [world.told(each) for each in lost] == [["OrderUnknown", "OrderAbandoned"]] * 3
    assert doubts == {}


async def test_a_no_that_ccxt_does_not_understand_is_no_answer() -> None:
    world = await World(venue="MEXC", speaks=other).start()
    found = world.rest()
    await world.advance(2)
    world.exchange.faults.add(Fault(Wrong.DEAF, world.scene.order))
    lost = world.rest()
    await world.advance(200, step=1)
    doubts = dict(world.gateway.doubts)
    await world.stop()

    assert world.told(found)[-1] == "OrderAccepted"
    assert world.told(lost) == ["OrderUnknown"]
    assert any("cannot be proven" in doubt for doubt in doubts.values())


async def test_a_lookup_that_finds_nothing_though_the_order_is_there_leaves_it_in_doubt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CcxtSpotAccount, "open_orders", lambda _: ())
    desk = world.exchange.desk
    monkeypatch.setattr(desk, "find", lambda *_, **__: None)
    world.exchange.faults.add(Fault(Wrong.LOST, world.scene.order))

    order = world.rest()
    await world.advance(240, step=1)

    assert world.told(order) == ["OrderUnknown"]
    assert any("cannot be proven" in doubt for doubt in world.gateway.doubts.values())


async def test_missing_money_is_a_refusal_and_an_unknown_error_is_none(world: World) -> None:
    poor = world.submit(quantity="1000", type=OrderType.LIMIT, price=D(20_000))
    await world.advance(2)
    world.exchange.faults.add(Fault(Wrong.PAGE, world.scene.order))
    doubtful = world.rest()
    await world.advance(0.25)

    assert world.told(poor) == ["OrderRejected"]
    assert world.scene.poor in world.events[-2].reason  # type: ignore[union-attr]
    assert world.told(doubtful) == ["OrderUnknown"]


async def test_an_order_that_cannot_be_said_is_rejected_and_nothing_leaves(world: World) -> None:
    before = len(world.exchange.desk.orders)

    fine = world.submit(quantity="0.123456789")
    await world.advance(1)

    assert world.told(fine) == ["OrderRejected"]
    assert isinstance(world.events[-1], OrderRejected)
    assert "0.123456789" in world.events[-1].reason
    assert len(world.exchange.desk.orders) == before


async def test_an_order_before_the_markets_are_known_is_rejected_and_a_cancel_is_in_doubt(
    world: World,
) -> None:
    order = world.rest()
    await world.advance(2)
    world.is_up = False
    await world.restart(1.0)

    early = world.submit(quantity="0.1")
    world.cancel(order)
    await world.advance(1)
    told = world.told(order)
    world.is_up = True
    await world.advance(60)

    assert world.told(early) == ["OrderRejected"]
    assert world.placed(early) == 0
    assert told == ["OrderUnknown", "OrderAccepted"]
    assert world.told(order)[-1] in ("OrderAccepted", "OrderCancelled", "ChangeRejected")
    assert world.gateway.doubts == {}


async def test_an_order_is_sent_in_the_venues_words(world: World) -> None:
    dialect, name = world.gateway.dialect, world.btc.id

    def sent(**given: object) -> dict[str, object]:
        request = OrderRequest("s", name, Side.BUY, D("0.25"), **given)  # type: ignore[arg-type]
        call = dialect.submit(Submit(ID, request, 0))
        return dict(call.params)

    limit: dict[str, object] = {"type": OrderType.LIMIT, "price": D("20000.1")}
    plain, taker, maker = (
        sent(**limit, **more) for more in ({}, {"time_in_force": TimeInForce.IOC}, {"post_only": True})
    )

    assert all(ID in each.values() for each in (plain, taker, maker))
    assert all({"0.25", "20000.1"} <= set(map(str, each.values())) for each in (plain, taker, maker))
    assert len({str(each) for each in (plain, taker, maker)}) == 3


async def test_the_kill_switch_takes_back_one_by_one_until_each_is_gone(world: World) -> None:
    orders = [world.rest(below=500 + 10 * n, quantity="0.01") for n in range(5)]
    await world.advance(5)

    done = world.gateway.cancel_all()
    await world.advance(15)

    assert done.done()
    assert all(world.told(order)[-1] == "OrderCancelled" for order in orders)


async def test_money_that_comes_by_no_order_shows_in_balances(world: World) -> None:
    world.exchange.desk.transfer(world.account, "USDT", D("12.5"), world.exchange.now)
    await world.advance(62)

    assert [e for e in world.events if isinstance(e, BalanceChanged)] == []
    assert world.gateway.scales.funds["USDT"].total == world.account.purses["USDT"].total


@pytest.mark.parametrize(("venue", "why"), [("KRAKEN", "by another id"), ("BYBIT", "ccxt cannot")])
async def test_a_venue_where_orders_cannot_be_found_by_our_id_is_refused(venue: str, why: str) -> None:
    world = World(venue=venue, speaks=other)

    await world.wire.open()
    with pytest.raises(UsageError, match=f"could be lost or doubled: .*{why}"):
        await world.wire.prepare()

    assert world.exchange.desk.orders == {}


def test_a_venue_of_which_ccxt_lacks_a_part_is_refused() -> None:
    with pytest.raises(UsageError, match="ccxt has no fetchOrder"):
        CcxtSpotAccount("LIGHTER", [listed("BTC/USDT@LIGHTER")])


def test_only_spot_of_venues_that_nobody_speaks_goes_through_ccxt() -> None:
    spot = account_of("OKX", InstrumentKind.SPOT, [listed("BTC/USDT@OKX")])

    assert isinstance(spot, CcxtSpotAccount)
    assert spot.hosts == {"www.okx.com"}
    with pytest.raises(UsageError, match="not supported yet"):
        account_of("OKX", InstrumentKind.PERPETUAL, [listed("BTC/USDT:USDT@OKX")])
    with pytest.raises(UsageError, match="not supported yet"):
        account_of("KRAKEN", InstrumentKind.PERPETUAL, [listed("BTC/USD:USD@KRAKEN")])


async def test_a_pair_that_the_venue_does_not_list_is_refused() -> None:
    world = World(venue="BINANCE", speaks=lambda v, k, _: other(v, k, [listed("ABC/USDT@BINANCE")]))

    await world.wire.open()
    with pytest.raises(UsageError, match="no spot market ABC/USDT"):
        await world.wire.prepare()


async def test_hostile_answers_end_in_no_answer(world: World) -> None:
    dialect, order = world.gateway.dialect, world.rest()
    await world.advance(2)
    tracked = world.gateway.register.get(order)
    assert tracked is not None
    calls: dict[Callable[..., object], Call] = {
        dialect.found: next(iter(dialect.find(tracked.view()))),
        dialect.read_executions: dialect.executions(world.btc.id, world.exchange.now),
    }
    lone: dict[Callable[..., object], Call] = {
        dialect.read_orders: dialect.open_orders()[0],
        dialect.read_funds: dialect.funds(),
        dialect.read_clock: dialect.clock(),
    }
    bodies = [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[[]]",
        b'{"data":[1]}',
        b"\xff" * 9,
        b"[" * 100_000,
        b'"x"',
        b"<html>",
    ]

    def ask(reads: Callable[..., object], call: Call, body: bytes) -> None:
        answer = Answer(200, {}, body, call.told)
        try:
            told = reads(answer, world.btc.id) if reads in calls else reads(answer)
        except VenueError:
            return
        assert not getattr(told, "executions", told)

    for body in bodies:
        for reads, call in (calls | lone).items():
            ask(reads, call, body)
