"""Orders are counted as venues count them: entries leave a reserve, exits wait for room, cancels for nothing."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.order import Side
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.desk import live
from abidance.venues.net.budget import Budget, Budgets
from abidance.venues.net.limits import Cost, HostLimits, Request, Window, limits_of
from abidance.venues.net.transport import Answer
from tests.unit.venues.net_world import HandPulse
from tests.unit.venues.trading_world import EPOCH, D, World

PLACE, TAKE_BACK = Request("POST", "/order"), Request("DELETE", "/order")
COSTS = (Cost("POST /order", 1.0),)
ORDERS = Window("orders", 10, 10.0, per="account", costs=COSTS, used="x-orders", said=('"code":-1015',))
FULL = Answer(
    429, {}, b'{"code":-1015,"msg":"Too many new orders; current limit is 10 orders per 10 SECOND."}'
)
KRAKEN, PAIR = limits_of("https://api.kraken.com"), "BTC/USDT@KRAKEN"
PENALTIES = ((5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1))


def counted(window: Window = ORDERS) -> tuple[Budget, HandPulse]:
    pulse = HandPulse()
    return Budgets(pulse).of("host", HostLimits("FAKE", (window,))), pulse


def kraken(what: str, *ages: float) -> Request:
    return Request("POST", f"/0/private/{what}", {}, tuple((PAIR, age) for age in ages))


def leave(budget: Budget, requests: Iterable[Request], *, urgent: bool = False) -> int:
    """Let as many requests leave as may at this moment, and return how many those are."""
    left = 0
    for each in requests:
        if budget.delay(each, urgent=urgent) > 0:
            return left
        budget.recount(each, 0.0)
        left += 1
    return left


# --- one count


async def test_entries_leave_a_reserve_which_exits_use_and_cancels_need_none() -> None:
    budget, _ = counted()

    entries = leave(budget, [PLACE] * 20)
    exits = leave(budget, [PLACE] * 20, urgent=True)

    assert (entries, exits) == (8, 2)
    assert budget.delay(PLACE) == budget.delay(PLACE, urgent=True) == pytest.approx(10.0)
    assert budget.delay(TAKE_BACK) == budget.delay(Request("GET", "/order")) == 0.0


class Step(NamedTuple):
    pause: float
    urgent: bool


@given(st.lists(st.builds(Step, st.floats(0, 4), st.booleans()), max_size=120), st.floats(0, 10))
def test_no_window_of_the_clock_ever_has_too_many_orders_wherever_it_begins(
    steps: Sequence[Step], begins: float
) -> None:
    budget, pulse = counted()
    left: list[tuple[float, bool]] = []
    for step in steps:
        pulse.now += step.pause
        if leave(budget, [PLACE], urgent=step.urgent):
            left.append((pulse.now, step.urgent))

    spans: dict[int, list[bool]] = {}
    for at, urgent in left:
        spans.setdefault(int((at + begins) // 10), []).append(urgent)
    for span in spans.values():
        assert len(span) <= 10
    for number, (at, urgent) in enumerate(left):
        with_it = sum(at - 10 < other for other, _ in left[: number + 1])
        assert with_it <= (10 if urgent else 10 * 0.8)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 20), st.sampled_from(["AddOrder", "AmendOrder", "CancelOrder"]), st.floats(0, 400)
        ),
        max_size=80,
    )
)
def test_krakens_count_is_what_its_page_says_of_each_pair(steps: Sequence[tuple[float, str, float]]) -> None:
    """The oracle is the table of the page, reckoned anew: +1, what is young, and 2.34 less each second."""
    pulse = HandPulse()
    budget = Budgets(pulse, {"KRAKEN": "intermediate"}).of("host", KRAKEN)
    level = 0.0
    for pause, what, age in steps:
        pulse.now += pause
        level = max(0.0, level - pause * 125 / 53.42)
        cost = 1.0 if what != "CancelOrder" else next((each for below, each in PENALTIES if age < below), 0)
        cost += (
            next((each for below, each in ((5, 3), (10, 2), (15, 1)) if age < below), 0)
            if what == "AmendOrder"
            else 0
        )
        may = what == "CancelOrder" or level + cost <= 125 + 1e-9
        request = kraken(what, age)

        assert (budget.delay(request, urgent=True) == 0.0) is may

        if may:
            budget.recount(request, 0.0)
            level += cost
        other = Request("POST", "/0/private/AddOrder", {}, (("ETH/USDT@KRAKEN", 0.0),))
        assert budget.delay(other) == 0.0


@pytest.mark.parametrize(("grade", "most"), [("starter", 48), ("", 100), ("intermediate", 100), ("pro", 144)])
async def test_kraken_takes_as_many_orders_at_once_as_the_grade_of_an_account_allows(
    grade: str, most: int
) -> None:
    budget = Budgets(HandPulse(), {"KRAKEN": grade}).of("host", KRAKEN)

    assert leave(budget, [kraken("AddOrder", 0.0)] * 200) == most


async def test_taking_back_young_orders_is_counted_and_never_waits() -> None:
    budget = Budgets(HandPulse()).of("host", KRAKEN)

    taken_back = leave(budget, [kraken("CancelOrder", 1.0)] * 200)

    assert taken_back == 200
    assert budget.delay(kraken("AddOrder", 0.0), urgent=True) == pytest.approx((1600 + 1 - 125) * 53.42 / 125)
    assert "BTC/USDT@KRAKEN" in budget.why(kraken("AddOrder", 0.0), urgent=False)


# --- what venues say of it


async def test_what_somebody_else_placed_counts_once_the_venue_tells_it() -> None:
    budget, _ = counted()

    budget.heed(Answer(200, {"x-orders": "8"}, b""), PLACE)

    assert budget.delay(PLACE) == pytest.approx(10.0)
    assert budget.delay(PLACE, urgent=True) == 0.0


async def test_the_count_in_the_answer_to_another_request_is_not_that_of_orders() -> None:
    budget = Budgets(HandPulse()).of("host", limits_of("https://api.bybit.com"))
    spot = Request("POST", "/v5/order/create", {"category": "spot"})

    budget.heed(Answer(200, {"x-bapi-limit-status": "0"}, b""), Request("GET", "/v5/order/realtime"))
    before = budget.delay(spot)
    budget.heed(Answer(200, {"x-bapi-limit-status": "0"}, b""), spot)

    assert before == 0.0
    assert budget.delay(spot, urgent=True) == pytest.approx(1.0)
    assert budget.delay(spot._replace(path="/v5/order/cancel"), urgent=True) == 0.0
    assert budget.delay(spot._replace(params={"category": "linear"})) == 0.0


async def test_too_many_orders_are_nothing_against_cancels_and_questions() -> None:
    budget, pulse = counted()

    refused = budget.heed(FULL, PLACE)

    assert not refused
    assert budget.delay(TAKE_BACK, urgent=True) == budget.delay(Request("GET", "/order")) == 0.0
    assert budget.delay(PLACE, urgent=True) == pytest.approx(10.0)
    pulse.now += 10
    assert budget.delay(PLACE) == 0.0


async def test_what_an_earlier_process_sent_counts_for_as_long_as_it_does_at_the_venue() -> None:
    budget, pulse = counted()
    pulse.now = 100.0

    for age in (2.0, 12.0, 6.0, 6.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        budget.recount(PLACE, age)

    assert budget.delay(PLACE) == pytest.approx(4.0)
    pulse.now += 4.0
    assert leave(budget, [PLACE] * 9) == 2


# --- a gateway that meets it


def standing(world: World) -> set[str]:
    """Return our ids of the orders at the venue."""
    return {each.ticket.client_id for each in live(world.exchange.desk.orders.values())}


async def limited(venue: str = "BINANCE") -> World:
    world = World(venue=venue, limited=True)
    world.exchange.desk.transfer(world.account, "BTC", D(10), EPOCH)
    return await world.start()


async def test_of_a_ladder_of_200_as_many_leave_as_the_venue_takes_and_the_others_are_refused_here() -> None:
    world = await limited()

    ladder = [world.rest(below=500 + n, quantity="0.001") for n in range(200)]
    await world.advance(1)
    stop = world.stop_loss(300)
    await world.advance(1)
    await world.stop()

    left = [each for each in ladder if world.placed(each)]
    refused = [world.orders.get(each) for each in ladder[len(left) :]]
    assert (len(left), world.posted()) == (80, 81)
    assert {world.told(each)[-1] for each in left} == {"OrderAccepted"}
    assert {each.reason for each in refused if each is not None} == {
        "not sent: venue_order_rate: BINANCE takes 100 orders in 10 s, and the last of them are kept for exits."
    }
    assert world.told(stop) == ["OrderAccepted"]


async def test_an_exit_waits_for_room_when_the_reserve_is_used_up_and_leaves_once() -> None:
    world = await limited()
    for n in range(200):
        world.rest(below=500 + n, quantity="0.001")
    for n in range(20):
        world.goal(300, quantity="0.001", strategy=f"s{n}")
    await world.advance(1)

    late = world.stop_loss(300)
    await world.advance(5)
    early = world.told(late), world.placed(late)
    await world.advance(6)
    await world.stop()

    assert early == ([], 0)
    assert (world.told(late), world.placed(late)) == (["OrderAccepted"], 1)
    assert not any(b"-1015" in each.body for each in world.answers)


async def test_an_exit_that_is_taken_back_while_it_waits_never_leaves() -> None:
    world = await limited()
    assert world.exchange.quota is not None
    world.exchange.quota.use_up_orders("a-key", [world.btc.id], world.exchange.now)
    struck = world.rest()
    await world.advance(1)

    waiting = world.stop_loss(300)
    await world.advance(1)
    world.cancel(waiting)
    await world.advance(12)
    await world.stop()

    assert world.told(struck) == ["OrderRejected"]
    assert world.placed(waiting) == 0
    assert world.told(waiting)[-1] in ("OrderRejected", "OrderCancelled")


@pytest.mark.parametrize(
    ("venue", "words", "wait"),
    [
        ("BINANCE", "-1015: Too many new orders; current limit is 100 orders per 10 SECOND.", 10.5),
        ("KRAKEN", "EOrder:Rate limit exceeded", 16),
        ("BYBIT", "10006: Too many visits!", 1.5),
    ],
)
async def test_a_venue_that_takes_no_more_orders_is_believed_and_asked_again_by_exits_alone(
    venue: str, words: str, wait: float
) -> None:
    world = await limited(venue)
    resting = world.rest(below=900, quantity="0.01")
    await world.advance(2)
    assert world.exchange.quota is not None
    world.exchange.quota.use_up_orders("a-key", [world.btc.id], world.exchange.now)
    before = world.posted()

    first = world.submit(quantity="0.01")
    await world.advance(0.25, step=0.05)
    second = world.submit(quantity="0.01")
    exit = world.submit(Side.SELL, "0.01", reduce_only=True)
    world.cancel(resting)
    await world.advance(0.5, step=0.05)
    seen = world.posted() - before
    await world.advance(wait)
    await world.stop()

    assert world.told(first) == ["OrderRejected"]
    assert words in world.orders.get(first).reason  # type: ignore[union-attr]
    assert "not sent: venue_order_rate" in world.orders.get(second).reason  # type: ignore[union-attr]
    assert seen == 1
    assert world.told(resting)[-1] == "OrderCancelled"
    assert world.posted() - before == 2
    assert world.told(exit)  # it left, once, and the venue had its say


async def test_all_of_200_orders_are_called_back_at_once_though_no_order_may_be_placed() -> None:
    world = await limited()
    orders = []
    for part in range(3):
        orders += [world.rest(below=500 + 70 * part + n, quantity="0.001") for n in range(66)]
        await world.advance(10)
    assert world.exchange.quota is not None
    world.exchange.quota.use_up_orders("a-key", [world.btc.id], world.exchange.now)
    world.submit(quantity="0.01")
    await world.advance(0.5)

    killed = world.gateway.cancel_all(keeps_exits=True)
    await world.advance(0.25, step=0.05)
    called_back = sum(each.method == "DELETE" for each in world.exchange.requests)
    await world.advance(5)
    await world.stop()

    assert called_back == len(orders) == 198
    assert killed.done()
    assert {world.told(each)[-1] for each in orders} == {"OrderCancelled"}


async def test_a_new_process_counts_what_the_last_one_sent_a_moment_ago() -> None:
    world = await limited()
    before = [world.rest(below=500 + n, quantity="0.001") for n in range(60)]
    await world.advance(1)

    await world.restart()
    ladder = [world.rest(below=700 + n, quantity="0.001") for n in range(60)]
    await world.advance(1)
    await world.stop()

    assert all(map(world.placed, before))
    assert sum(map(world.placed, ladder)) == 20
    assert not any(b"-1015" in each.body for each in world.answers)


async def test_a_refusal_for_too_many_orders_is_never_followed_by_the_same_order() -> None:
    world = await limited()
    assert world.exchange.quota is not None
    world.exchange.quota.use_up_orders("a-key", [world.btc.id], world.exchange.now)

    orders = [world.submit(quantity="0.01") for _ in range(3)]
    await world.advance(30)
    await world.stop()

    assert [world.told(each) for each in orders] == [["OrderRejected"]] * 3
    assert [world.placed(each) for each in orders] == [0, 0, 0]


@pytest.mark.parametrize("venue", ["BYBIT", "KRAKEN"])
async def test_a_change_that_risks_more_leaves_the_reserve_to_exits_and_one_that_risks_less_may_use_it(
    venue: str,
) -> None:
    world = await limited(venue)
    entry = world.rest(below=900, quantity="0.02")
    await world.advance(20)
    window = {"KRAKEN": 120, "BYBIT": 9}[venue]
    amends = {"KRAKEN": "/0/private/AddOrder", "BYBIT": "/v5/order/amend"}[venue]
    budget, _ = world.wire._counted(world.gateway.dialect.funds())
    for _ in range(window):
        about = ((world.btc.id, 400.0),)
        budget.recount(Request("POST", amends, {"category": "spot"}, about), 0.0)

    world.amend(entry, quantity=D("0.03"))
    await world.advance(0.25, step=0.05)
    larger = world.told(entry)[-1]
    world.amend(entry, quantity=D("0.01"))
    await world.advance(0.25, step=0.05)
    await world.stop()

    assert larger == "ChangeRejected"
    assert world.told(entry)[-1] == "OrderAmended"


@pytest.mark.parametrize(("seconds", "leaves"), [(5.0, True), (120.0, False)])
async def test_an_exit_waits_out_a_short_refusal_of_everything_and_no_long_one(
    seconds: float, leaves: bool
) -> None:
    world = await limited()
    fault = world.exchange.faults.add(Fault(Wrong.LIMIT, "/openOrders", 0, 1, seconds))
    while not fault.hits:
        await world.advance(1)

    entry, stop = world.rest(), world.stop_loss(300)
    await world.advance(1)
    early = world.told(stop)
    await world.advance(6)
    await world.stop()

    assert world.told(entry) == ["OrderRejected"]
    assert early == ([] if leaves else ["OrderRejected"])
    assert world.placed(stop) == leaves


async def test_a_stop_stands_until_there_is_room_for_taking_it_back_and_for_the_exit() -> None:
    """At Kraken what is taken back young costs 8 of the count in which the exit must find its place."""
    world = await limited("KRAKEN")
    stop = world.stop_loss(300)
    await world.advance(1)
    budget, _ = world.wire._counted(world.gateway.dialect.funds())
    for _ in range(120):
        budget.recount(kraken("AddOrder", 0.0), 0.0)

    exit = world.submit(Side.SELL, "0.01", reduce_only=True)
    seen = []
    while not world.told(exit):
        await world.advance(0.1, step=0.05)
        seen.append((stop in standing(world), world.placed(exit)))
    await world.stop()

    waited = seen.count((True, 0)) * 0.1
    assert seen[-1] == (False, 1)
    assert len(seen) - seen.count((True, 0)) <= 2
    assert 1.0 < waited < 2.5


async def test_of_several_exits_none_takes_its_stop_back_into_the_room_that_another_has_found() -> None:
    world = await limited("KRAKEN")
    stops = {name: world.stop_loss(300, quantity="0.01", strategy=name) for name in "abc"}
    await world.advance(1)
    budget, _ = world.wire._counted(world.gateway.dialect.funds())
    while budget.delay(kraken("AddOrder", 0.0), [kraken("CancelOrder", 1.0)], urgent=True) <= 0:
        budget.recount(kraken("AddOrder", 0.0), 0.0)
    await world.advance(1)  # there is room for one of them now

    exits = {name: world.submit(Side.SELL, "0.01", name, reduce_only=True) for name in stops}
    bare = dict.fromkeys(stops, 0)
    while not all(map(world.filled, exits.values())):
        await world.advance(0.1, step=0.05)
        for name, stop in stops.items():
            bare[name] += stop not in standing(world) and not world.placed(exits[name])
    await world.stop()

    assert max(bare.values()) <= 2


async def test_an_exit_waits_for_no_room_to_take_back_what_we_hold_already() -> None:
    world = await limited("KRAKEN")
    stop = world.stop_loss(300)
    await world.advance(1)
    world.submit(Side.SELL, "0.01", reduce_only=True)
    await world.advance(0.1, step=0.05)
    tracked = world.gateway.register.get(stop)
    assert tracked is not None
    assert tracked.held
    budget, _ = world.wire._counted(world.gateway.dialect.funds())
    while budget.delay(kraken("AddOrder", 0.0), urgent=True) <= 0:
        budget.recount(kraken("AddOrder", 0.0), 0.0)

    exit = world.submit(Side.SELL, "0.01", reduce_only=True)
    await world.advance(1, step=0.05)
    await world.stop()

    assert world.filled(exit) == D("0.01")
