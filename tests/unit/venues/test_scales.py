"""An account beside our books while things are under way: what is not weighed is in doubt, what is missing is told."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace

from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.order import OrderRequest, OrderState, Side
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.account import Execution, Exposure, Funds, OrderReport, Page, Reply
from abidance.venues.accounts import account_of
from abidance.venues.net.transport import Answer
from abidance.venues.trading.books import Books, Lack, Loose
from abidance.venues.trading.gateway import VenueGateway
from abidance.venues.trading.inquiry import Inquiry
from abidance.venues.trading.register import Register
from abidance.venues.trading.tracked import Tracked
from tests.unit.venues.trading_world import World

D = Decimal
DAY = 86_400 * SECOND_NS


class Unsafe:
    """A record that is never safe: who waits for it dies before."""

    seq = 1
    has_failed = False

    async def done(self, seq: int) -> None:
        await asyncio.Event().wait()


class Owner(World):
    """A world in which our books say that something is there."""

    ours: Mapping[str, Decimal] = {}

    def made(self) -> VenueGateway:
        made = super().made()
        made.scales._books.funds = lambda: self.ours
        return made


async def in_doubt(world: World, seconds: float) -> list[set[str]]:
    """Let time pass and return by which causes the account was in doubt from quarter second to quarter second."""
    found = []
    for _ in range(round(seconds / 0.25)):
        await world.advance(0.25)
        found.append(set(world.gateway.doubts))
    return found


async def killed_in_flight(world: Owner) -> str:
    """Let a process die with an order of which it cannot be known whether it left, and another one begin."""
    world.gateway._way.record = Unsafe()
    order = world.rest()
    world.departed.add(order)
    await world.restart()
    return order


async def test_nothing_is_risked_after_a_kill_before_the_account_was_weighed() -> None:
    world = Owner()
    world.ours = {"ETH": D(1)}  # it is gone
    await world.start()

    await killed_in_flight(world)
    found = await in_doubt(world, 60)

    assert all(found)
    assert found[-1] == {"books"}
    await world.stop()


async def test_nothing_is_risked_after_a_start_before_what_was_in_flight_is_clear() -> None:
    world = Owner()
    world.ours = {"USDT": D(1_000_000)}
    await world.start()

    order = await killed_in_flight(world)
    told = []
    for _ in range(240):
        await world.advance(0.25)
        told.append((tuple(world.told(order)), tuple(world.gateway.doubts)))

    unclear = [doubts for names, doubts in told if names == ("OrderUnknown",)]
    assert unclear
    assert all("start" in doubts for doubts in unclear)
    assert told[len(unclear) + 6][1] == ()  # it is weighed as soon as that is clear, and not at the next turn
    assert told[-1][1] == ()
    await world.stop()


async def test_orders_that_rest_at_a_start_do_not_keep_the_account_from_being_compared_whole() -> None:
    world = await World().start()
    for _ in range(50):
        world.rest()
    await world.advance(5)

    await world.restart()
    found = await in_doubt(world, 4)

    assert not found[-1]
    assert world.gateway.scales.was_whole
    await world.stop()


async def test_fills_that_the_venue_never_lists_are_a_doubt_that_ends_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Owner()
    await world.start()
    listed = world.gateway.dialect.read_executions
    world.exchange.faults.add(Fault(Wrong.GAP, "account executionReport", times=0))
    monkeypatch.setattr(world.gateway.dialect, "read_executions", lambda *_: Page(()))
    monkeypatch.setattr(world.gateway.dialect, "proof", _without_fills(world))

    order = world.submit(quantity="0.1")
    early = await in_doubt(world, 25)
    late = await in_doubt(world, 25)
    told = world.gateway.doubts["owed"]
    world.ours = {"ETH": D(1)}  # meanwhile something else is gone
    while_owing = await in_doubt(world, 70)
    world.ours = {}
    monkeypatch.setattr(world.gateway.dialect, "read_executions", listed)
    await world.advance(30)

    assert not set().union(*early)
    assert "owed" in late[-1]
    assert "0.1 of BTC/USDT@BINANCE" in told
    assert order in told
    assert "books" in while_owing[-1]
    assert not world.gateway.doubts
    assert world.filled(order) == D("0.1")
    await world.stop()


async def test_fills_that_are_each_listed_in_time_are_no_doubt_however_long_one_is_awaited() -> None:
    world = await World().start()
    register, scales = world.gateway.register, world.gateway.scales
    tracked = never_answered(world, "100")
    tracked.left = True
    register.accepted(tracked, 0)

    def reported(filled: int) -> None:
        found = OrderReport(
            tracked.id, "9", world.btc.id, OrderState.OPEN, Side.BUY, D(100), D(filled), filled, D(100)
        )
        register.report(found, filled)

    def listed(fill: int) -> None:
        found = Execution(
            f"t{fill}", tracked.id, "9", world.btc.id, Side.BUY, D(1), D(99), D(0), "USDT", fill
        )
        register.execution(found, fill)

    reported(1)
    doubted = []
    for second in range(2, 92):
        reported(second)
        listed(second - 1)
        world.pulse.now += 1
        scales.heed_debts()
        doubted.append(scales.overdue())
    for _ in range(32):  # and the last one never is
        world.pulse.now += 1
        scales.heed_debts()

    assert not any(doubted)
    assert scales.overdue() == [tracked]
    assert world.gateway.doubts["owed"].startswith("1 of BTC/USDT@BINANCE")
    await world.stop()


def _without_fills(world: World) -> Callable[..., Reply]:
    """Return how answers to orders are read, without the fills in them: the venue tells only that it filled."""
    proof = world.gateway.dialect.proof
    return lambda *given: proof(*given)._replace(executions=())


def never_answered(world: World, quantity: str = "0.1") -> Tracked:
    """Let an order at market be under way for as long as nobody ends it."""
    request = OrderRequest("s", world.btc.id, Side.BUY, D(quantity))
    return world.gateway.register.sent("ab" * 16, request, world.wire.now())


async def test_an_account_that_is_never_compared_whole_is_a_doubt_after_ten_minutes_until_it_is() -> None:
    world = await World().start()
    order = never_answered(world)

    early = await in_doubt(world, 585)
    late = await in_doubt(world, 30)
    told = world.gateway.doubts["unweighed"]
    world.gateway.register.came_to_nothing(order, "not sent", 0)
    ended = await in_doubt(world, 30)

    assert not set().union(*early)
    assert late[-1] == {"unweighed"}
    assert told.startswith("the account was not compared with our books for 10 minutes")
    assert not ended[-1]
    await world.stop()


@pytest.mark.parametrize(("gone", "in_the_end"), [("1000", set()), ("10000", {"books"})])
async def test_an_order_at_market_explains_no_more_than_it_can_have_cost(
    gone: str, in_the_end: set[str]
) -> None:
    world = Owner()
    world.ours = {"USDT": D(1_000_000)}
    await world.start()
    world.gateway.watch(world.btc.id, float(world.bid()), float(world.bid()) + 1)
    never_answered(world)  # of some 6,000 USDT

    world.account.purse("USDT").free -= D(gone)
    found = await in_doubt(world, 70)

    assert found[-1] == in_the_end
    await world.stop()


async def test_a_comparison_that_came_to_nothing_ends_no_doubt_that_the_account_cannot_be_compared() -> None:
    world = await World().start()
    world.gateway.doubt("compare", "the account cannot be compared")
    order = never_answered(world)

    inconclusive = await in_doubt(world, 70)
    world.gateway.register.came_to_nothing(order, "not sent", 0)
    ended = await in_doubt(world, 70)

    assert inconclusive[-1] == {"compare"}
    assert not ended[-1]
    await world.stop()


async def test_an_execution_waits_to_be_called_by_hand_while_copies_that_lag_may_not_know_its_order() -> None:
    world = await World().start()
    order, now = never_answered(world), world.wire.now()
    register, inquiry = world.gateway.register, world.gateway._inquiry
    register.unknown(order, "no answer", now)
    found = Execution("x", "", "999", world.btc.id, Side.BUY, D("0.05"), D(50_000), D(0), "USDT", now)
    register.execution(found, now)

    explained = []
    for seconds in (5, 13):  # for so long two answers did not know it
        order.absent_from, order.denied_at = world.pulse.steady() - seconds, world.pulse.steady()
        explained.append(await inquiry.explain_strays())

    assert explained == [False, True]
    assert not register.strays
    await world.stop()


@pytest.mark.parametrize(
    ("venue", "market"),
    [
        ("BINANCE", "spot"),
        ("BYBIT", "spot"),
        ("KRAKEN", "spot"),
        ("KUCOIN", "spot"),
        ("MEXC", "spot"),
        ("BINANCE", "perpetual"),
        ("BYBIT", "perpetual"),
        ("BINANCE", "cross_margin"),
        ("KUCOIN", "cross_margin"),
    ],
)
async def test_an_order_that_filled_on_the_eighth_day_of_a_pause_is_found_with_its_fills(
    venue: str, market: str
) -> None:
    wallet = market if market == "cross_margin" else ""
    world = await World(venue=venue, is_perpetual=market == "perpetual", wallet=wallet).start()
    order = world.rest(below=-500)
    known = world.orders.get(order)
    assert known is not None
    await world.stop()  # before it heard of anything
    await world.advance(5)
    world.events.clear()

    world.gateway = world.made()
    long_ago = world.pulse.wall() - 9 * DAY
    world.gateway.recover([type(known)(known.id, known.request, known.state, long_ago)], [], long_ago)
    await world.start()
    await world.advance(20)

    assert world.told(order)[-1] == "OrderFilled"
    assert world.filled(order) == D("0.1")
    assert not world.gateway.doubts
    await world.stop()


@pytest.mark.parametrize("has_left", [False, True])
async def test_an_order_over_which_the_program_fails_does_not_stay_sent(
    monkeypatch: pytest.MonkeyPatch, has_left: bool
) -> None:
    world = await World().start()
    world.exchange.faults.add(Fault(Wrong.GAP, world.scene.own, times=0))
    works = getattr(world.gateway.dialect, "proof" if has_left else "submit")

    def fails(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(world.gateway.dialect, "proof" if has_left else "submit", fails)
    order = world.rest()
    await world.advance(0.25)
    monkeypatch.setattr(world.gateway.dialect, "proof" if has_left else "submit", works)
    await world.advance(10)

    assert world.told(order) == (["OrderUnknown", "OrderAccepted"] if has_left else ["OrderRejected"])
    assert world.placed(order) == has_left
    await world.stop()


async def test_a_sweep_at_kraken_asks_once_for_the_executions_of_all_instruments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await World(venue="KRAKEN").start()
    world.submit(quantity="0.1")
    await world.advance(2)
    found, asked, request = list[Execution](), list[str](), world.request

    async def heard(method: str, url: str, *rest: Any) -> Answer:
        asked.append(url.rpartition("/")[2])
        return await request(method, url, *rest)

    monkeypatch.setattr(world, "request", heard)
    traded = [replace(world.btc, id=f"{base}/USDT@KRAKEN") for base in ("BTC", "ETH", "SOL", "ADA")]
    dialect, lines = account_of("KRAKEN", world.btc.kind, traded), world.gateway
    register = Register(world.events.append, lambda _id: True, lambda _id: None)
    inquiry = Inquiry(dialect, register, lines._way, lines.doubt, lines.set_clock, found.append)
    inquiry.begin(world.wire.now() - 60 * SECOND_NS)

    sweeping = asyncio.ensure_future(inquiry.sweep())
    await world.advance(5)
    await sweeping

    assert asked.count("TradesHistory") == 1
    assert {each.instrument for each in found} == {world.btc.id}
    assert sum(each.quantity for each in found) == D("0.1")
    await world.stop()


SPOT = Instrument("BTC/USDT@BINANCE", D("0.01"), D("0.00001"), D("0.00001"), D(5))
PERPETUAL = Instrument("BTC/USDT:USDT@BINANCE", D("0.1"), D("0.001"), D("0.001"), D(5), max_leverage=D(10))
under_way = st.lists(
    st.tuples(
        st.sampled_from(list(Side)),
        st.integers(1, 1_000).map(lambda n: n * SPOT.lot),
        st.none() | st.integers(1, 9_000_000).map(lambda n: n * SPOT.tick),
        st.floats(0, 1).map(D),
        st.floats(0, 1).map(D),
    ),
    max_size=4,
)


@given(orders=under_way, taken=st.sampled_from(["", "BTC", "USDT"]))
def test_what_is_under_way_explains_any_part_of_it_and_no_unit_more(
    orders: list[tuple[Side, Decimal, Decimal | None, Decimal, Decimal]], taken: str
) -> None:
    ours = {"BTC": D(1_000), "USDT": D(10) ** 9}
    there, least = dict(ours), dict(ours)
    for side, quantity, price, part, better in orders:
        if side is Side.SELL:
            there["BTC"] -= part * quantity
            least["BTC"] -= quantity
        else:
            cost = D(10) ** 6 if price is None else quantity * price * D("1.01")
            there["USDT"] -= part * cost * better
            least["USDT"] -= D("Infinity") if price is None else cost
    is_hidden = (
        bool(taken) and not least[taken].is_finite()
    )  # nothing bounds what an order at market may cost
    if taken and not is_hidden:
        there[taken] = least[taken] - D("0.02")
    loose = [Loose(SPOT.id, side, quantity, price) for side, quantity, price, *_ in orders]

    gaps = Books(lambda: ours, dict).gaps(
        account_of("BINANCE", SPOT.kind, [SPOT]),
        {asset: Funds(asset, amount, amount) for asset, amount in there.items()},
        (),
        loose,
    )

    assert [gap.name for gap in gaps] == ([taken] if taken and not is_hidden else [])


@given(orders=under_way, beyond=st.integers(-3, 3))
def test_a_position_may_be_what_is_under_way_makes_of_it_and_no_lot_more(
    orders: list[tuple[Side, Decimal, Decimal | None, Decimal, Decimal]], beyond: int
) -> None:
    loose = [Loose(PERPETUAL.id, side, n * 100, price) for side, n, price, *_ in orders]
    bought = sum((each.quantity for each in loose if each.side is Side.BUY), D(0))
    sold = sum((each.quantity for each in loose if each.side is Side.SELL), D(0))
    there = (bought if beyond >= 0 else -sold) + beyond * PERPETUAL.lot

    gaps = Books(dict, lambda: {PERPETUAL.id: D(0)}).gaps(
        account_of("BINANCE", PERPETUAL.kind, [PERPETUAL]), {}, [Exposure(PERPETUAL.id, there, D(1))], loose
    )

    assert [gap.there for gap in gaps] == ([there] if beyond else [])


async def test_an_account_of_which_something_is_still_awaited_is_not_said_to_agree() -> None:
    world = Owner()
    await world.start()
    agreed, moving, books = list[bool](), {"ETH"}, world.gateway.scales._books
    world.ours = {"ETH": D(1)}  # it is gone, and not compared: a loan of it is under way
    books.moving, books.agreed = lambda: moving, lambda: agreed.append(True)

    awaited = await in_doubt(world, 70)
    early = list(agreed)
    world.ours = {}
    moving.clear()
    await world.advance(70)

    assert not any(awaited)
    assert (bool(early), bool(agreed)) == (False, True)
    await world.stop()


@pytest.mark.parametrize(
    ("meanwhile", "is_lost"),
    [("nothing", True), ("more is gone", False), ("some is back", False), ("an order leaves", False)],
)
async def test_what_lacks_is_lost_to_the_owner_when_just_that_lacks_after_copies_cannot_lag(
    meanwhile: str, is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Owner()
    await world.start()
    lost, purse = list[tuple[float, Lack]](), world.account.purse("BTC")

    def settle(funds: Mapping[str, Funds], proven: Collection[Lack]) -> Sequence[Lack]:
        lost.extend((world.pulse.steady(), each) for each in proven if each == lack_of(funds))
        return [] if lost else [lack_of(funds)]

    def lack_of(funds: Mapping[str, Funds]) -> Lack:
        return Lack("BTC", D(1), funds["BTC"].total, D(1))

    purse.free = D("0.5")
    world.ours = {"BTC": D(1)}
    world.gateway.scales._books.settle = settle
    swept, inquiry = list[float](), world.gateway._inquiry
    sweep = inquiry.sweep

    async def sweeps() -> None:
        swept.append(world.pulse.steady())
        await sweep()

    monkeypatch.setattr(inquiry, "sweep", sweeps)
    began = world.pulse.steady()
    comparing = asyncio.ensure_future(world.gateway.scales.compare())
    await world.advance(6)
    assert "books" in world.gateway.doubts
    if meanwhile == "an order leaves":
        never_answered(world)
    purse.free += {"more is gone": D("-0.1"), "some is back": D("0.1")}.get(meanwhile, D(0))
    await world.advance(9)
    await comparing

    assert bool(lost) is is_lost
    if is_lost:
        assert lost[0][0] - began > 12
        assert swept[-1] - began > 12
    await world.stop()


async def test_one_answer_without_a_debt_does_not_end_the_doubt_about_it() -> None:
    """Somebody borrowed by hand; one answer leaves the debt out, and the next one has it again."""
    world = Owner(venue="BYBIT")
    await world.start()
    world.account.debts["USDT"] = D(33)
    before = await in_doubt(world, 70)
    dialect = world.gateway.dialect
    reads, left_out = dialect.read_funds, iter([True])

    def reads_partly(answer: Answer) -> Sequence[Funds]:
        found = reads(answer)
        return [structs.replace(each, debt=D(0)) for each in found] if next(left_out, False) else found

    dialect.read_funds = reads_partly  # type: ignore[method-assign]
    during = await in_doubt(world, 70)
    world.account.debts.clear()
    after = await in_doubt(world, 40)

    assert next(left_out, None) is None
    assert "books" in before[-1]
    assert all("books" in each for each in during)
    assert not after[-1]
    await world.stop()


async def test_before_the_venues_first_word_anything_may_be_there() -> None:
    """Then an exit of all that our books know of may sell the owner's coins, if another exit has just sold ours."""
    world = World()
    world.gateway._on_news(Funds(asset="USDT", total=D(5), free=D(5)))  # of one asset nobody tells all
    before = world.gateway.scales.most("BTC")
    await world.start()
    world.exchange.desk.transfer(world.account, "BTC", D(2), world.exchange.now)
    world.gateway._way.spawn(world.gateway.scales.compare())
    await world.advance(5)
    await world.stop()

    assert before == D("Infinity")
    assert world.gateway.scales.most("BTC") == D(2)
