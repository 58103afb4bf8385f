import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.errors import VenueError
from abidance.testing.exchange import Fault, Wrong
from abidance.venues.net.budget import AHEAD, FIRST, Budgets, Counter, Meter
from abidance.venues.net.limits import HostLimits, Request, Rule, Window, limits_of, table
from abidance.venues.net.rest import Rest
from abidance.venues.net.transport import Answer, Backoff, DisconnectedError, within
from tests.unit.venues.net_world import FakeVenue, HandPulse, result_of
from tests.unit.venues.trading_world import World

MINUTE = Window("weight", 100, 60.0, used="x-used")
LIMITS = HostLimits("FAKE", (MINUTE,), 10.0, (Rule("/light", 5.0), Rule("/heavy", 75.0), Rule("/free")))
COUNT = Window("calls", 20, 40.0, under="/private", falls=True, said=("too many calls",))
TOO_MANY = Answer(200, {}, b"too many calls")
COUNTED = HostLimits("FAKE", (COUNT,), 1.0, (Rule("/private/history", 2.0), Rule("/private/order")))


async def took(budgets: Budgets, pulse: HandPulse, count: int, *, urgent: bool = False) -> list[float]:
    """Return when each of `count` requests of weight 10 was let go, within two minutes."""
    times: list[float] = []

    async def ask() -> None:
        await budgets.of("host", LIMITS).take(Request("GET", "/any"), ahead=FIRST if urgent else 0.0)
        times.append(pulse.now)

    tasks = [asyncio.ensure_future(ask()) for _ in range(count)]
    await pulse.advance(120)
    await asyncio.gather(*tasks)
    return times


async def test_ordinary_requests_leave_a_reserve_and_then_wait_for_room() -> None:
    pulse = HandPulse()

    times = await took(Budgets(pulse), pulse, 12)

    assert times[:8] == [0.0] * 8
    assert times[8] == AHEAD  # half of the reserve is for whoever has waited so long
    assert all(60.0 <= at <= 60.1 for at in times[9:])


async def test_cancels_may_use_the_reserve_and_overtake_those_who_wait() -> None:
    pulse = HandPulse()
    budgets = Budgets(pulse)
    ordinary = [
        asyncio.ensure_future(budgets.of("host", LIMITS).take(Request("GET", "/any"))) for _ in range(12)
    ]
    await pulse.advance(0.1)

    urgent = asyncio.ensure_future(budgets.of("host", LIMITS).take(Request("GET", "/any"), ahead=FIRST))
    await pulse.advance(0.1)

    assert urgent.done()
    assert sum(task.done() for task in ordinary) == 8
    await pulse.advance(120)
    await asyncio.gather(*ordinary)


async def test_what_others_used_at_the_same_address_counts() -> None:
    pulse = HandPulse()
    budgets = Budgets(pulse)
    budget = budgets.of("host", LIMITS)

    budget.heed(Answer(200, {"x-used": "75"}, b""), Request("GET", "/any"))

    assert budget.delay(Request("GET", "/light")) == 0.0
    assert budget.delay(Request("GET", "/any")) == pytest.approx(60.0)


@pytest.mark.parametrize("header", ["", "nan", "-5", "inf", "many", "1e400"])
async def test_a_header_that_means_nothing_changes_nothing(header: str) -> None:
    budget = Budgets(HandPulse()).of("host", LIMITS)

    budget.heed(Answer(200, {"x-used": header, "retry-after": header}, b""), Request("GET", "/any"))

    assert budget.delay(Request("GET", "/any")) == 0.0


@pytest.mark.parametrize("status", [418, 429])
async def test_nothing_leaves_before_the_venue_allows_it_not_even_cancels(status: int) -> None:
    pulse = HandPulse()
    budget = Budgets(pulse).of("host", LIMITS)

    refused = budget.heed(Answer(status, {"retry-after": "30"}, b""), Request("GET", "/any"))

    assert refused
    assert budget.delay(Request("GET", "/light"), urgent=True) == pytest.approx(30.0)
    await pulse.advance(30)
    assert budget.delay(Request("GET", "/light")) == 0.0


async def test_a_ban_holds_for_every_account_at_the_address_and_for_no_other() -> None:
    budgets = Budgets(HandPulse())
    budgets.of("host", LIMITS, account="a").heed(Answer(418, {}, b""), Request("GET", "/any"))

    assert budgets.of("host", LIMITS, account="b").delay(Request("GET", "/light")) == pytest.approx(120.0)
    assert budgets.of("host", LIMITS, account="a", address="other").delay(Request("GET", "/light")) == 0.0


async def test_accounts_share_the_address_window_and_not_the_account_window() -> None:
    windows = Window("w", 100, 60.0), Window("orders", 10, 60.0, per="account")
    limits = HostLimits("FAKE", windows, 8.0, LIMITS.rules)
    budgets = Budgets(HandPulse())

    await budgets.of("host", limits, account="a").take(Request("GET", "/"))

    assert budgets.of("host", limits, account="a").delay(Request("GET", "/")) > 0
    assert budgets.of("host", limits, account="b").delay(Request("GET", "/")) == 0.0
    assert budgets.of("host", limits, account="b").delay(Request("GET", "/heavy")) > 0


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 40)), max_size=60))
def test_no_window_ever_holds_more_than_its_share(requests: list[tuple[float, float]]) -> None:
    meter, now, log = Meter(MINUTE), 0.0, list[tuple[float, float]]()
    for pause, weight in requests:
        now += pause
        while (delay := meter.delay(now, weight)) > 0:
            now += delay
        meter.spend(now, weight)
        log.append((now, weight))
        used = sum(w for at, w in log if at > now - MINUTE.seconds)
        assert used <= MINUTE.limit * (1 - MINUTE.reserve) + 1e-6


# --- a count that falls


async def test_who_has_used_up_a_count_may_soon_ask_a_little_again() -> None:
    pulse = HandPulse()
    budget, times = Budgets(pulse).of("host", COUNTED), list[float]()

    async def ask() -> None:
        await budget.take(Request("GET", "/private/any"))
        times.append(pulse.now)

    tasks = [asyncio.ensure_future(ask()) for _ in range(20)]
    await pulse.advance(10)
    await asyncio.gather(*tasks)

    assert times[:16] == [0.0] * 16
    assert [round(at) for at in times[16:]] == [2, 4, 6, 8]


async def test_what_a_venue_does_not_count_waits_for_no_count() -> None:
    budget = Budgets(HandPulse()).of("host", COUNTED)

    budget.heed(TOO_MANY, Request("GET", "/private/any"))

    assert budget.delay(Request("GET", "/private/order")) == 0.0
    assert budget.delay(Request("GET", "/public/time")) == 0.0
    assert budget.delay(Request("GET", "/private/any"), urgent=True) == pytest.approx(2.0)
    assert budget.delay(Request("GET", "/private/any")) == pytest.approx(10.0)
    assert budget.delay(Request("GET", "/private/history")) == pytest.approx(12.0)


@pytest.mark.parametrize(("grade", "times"), [("starter", 13), ("", 18), ("intermediate", 18), ("pro", 18)])
async def test_an_account_is_asked_as_its_grade_allows(grade: str, times: int) -> None:
    budgets = Budgets(HandPulse(), {"KRAKEN": grade})
    budget = budgets.of("host", limits_of("https://api.kraken.com"))
    pauses = {"starter": 1.5, "": 2.0, "intermediate": 2.0, "pro": 1.0}

    for _ in range(times):
        await budget.take(Request("GET", "/0/private/OpenOrders"))

    assert budget.delay(Request("GET", "/0/private/OpenOrders")) == pytest.approx(pauses[grade])
    assert budget.delay(Request("GET", "/0/private/AddOrder")) == 0.0
    assert budget.delay(Request("GET", "/0/public/Time")) == 0.0


async def test_a_refusal_of_what_is_not_counted_uses_up_nothing() -> None:
    budget = Budgets(HandPulse()).of("host", COUNTED)

    budget.heed(TOO_MANY, Request("GET", "/private/order"))
    budget.heed(TOO_MANY, Request("GET", "/public/time"))

    assert budget.delay(Request("GET", "/private/any")) == 0.0


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 10)), max_size=60))
def test_no_count_ever_passes_its_share(requests: list[tuple[float, float]]) -> None:
    meter, now, level, at = Counter(COUNT), 0.0, 0.0, 0.0
    for pause, weight in requests:
        now += pause
        while (delay := meter.delay(now, weight)) > 0:
            now += delay
        meter.spend(now, weight)
        level, at = max(0.0, level - (now - at) / 2) + weight, now
        assert level <= COUNT.limit * (1 - COUNT.reserve) + 1e-6


async def test_a_question_too_many_is_asked_once_more_after_a_pause_in_which_orders_leave() -> None:
    world = await World(venue="KRAKEN").start()
    fault = world.exchange.faults.add(Fault(Wrong.LIMIT, "/OpenOrders", 0, 1, 3.0))
    call = world.gateway.dialect.open_orders()[0]

    asked = asyncio.ensure_future(world.wire.ask(call))
    await world.advance(0.5)
    refused = world.answers[-1].body
    order = world.submit()
    await world.advance(5)
    early = asked.done()
    await world.advance(10)
    await world.stop()

    assert fault.hits == 1
    assert b"EAPI:Rate limit exceeded" in refused
    assert not early
    assert b'"error":[]' in asked.result().body
    assert world.told(order)[0] in ("OrderAccepted", "OrderFilled")


# --- the data


def test_every_bundled_rule_can_be_read() -> None:
    assert {each.venue for each in table().values()} == {"BINANCE", "KRAKEN", "KUCOIN", "BYBIT", "MEXC"}
    assert all(
        window.limit > 0 and window.seconds > 0 for each in table().values() for window in each.windows
    )


@pytest.mark.parametrize(
    ("url", "path", "query", "weight"),
    [
        ("https://api.binance.com", "/api/v3/depth", {"limit": "100"}, 5),
        ("https://api.binance.com", "/api/v3/depth", {"limit": "1000"}, 50),
        ("https://api.binance.com", "/api/v3/depth", {"limit": "5000"}, 250),
        ("https://api.binance.com", "/api/v3/depth", {}, 5),
        ("https://api.binance.com", "/api/v3/klines", {"limit": "1000"}, 2),
        ("https://fapi.binance.com", "/fapi/v1/klines", {"limit": "1500"}, 10),
        ("https://fapi.binance.com", "/fapi/v1/depth", {"limit": "1000"}, 20),
        ("https://api.mexc.com", "/api/v3/exchangeInfo", {}, 10),
        ("https://api.kraken.com", "/0/public/Depth", {}, 1),
    ],
)
def test_requests_weigh_what_their_venue_says(
    url: str, path: str, query: dict[str, str], weight: float
) -> None:
    assert limits_of(url).weight(path, query) == weight


@pytest.mark.parametrize("value", ["", "all", "nan", "-"])
def test_a_parameter_that_cannot_be_read_weighs_most(value: str) -> None:
    rule = Rule("/depth", by="limit", steps=((100, 5), (1000, 50)))

    assert rule.of({"limit": value}) == 50


def test_an_unknown_host_is_asked_with_care() -> None:
    assert limits_of("https://example.org/v1").windows[0].limit == 10


def test_one_address_that_stands_in_for_several_hosts_is_counted_and_banned_as_each_of_them() -> None:
    budgets, here = Budgets(HandPulse()), "http://127.0.0.1:9000"
    hosts = ("https://api.binance.com", "https://fapi.binance.com", "https://api.kraken.com")
    spot, perpetual, kraken = (budgets.of(here, limits_of(host), "key") for host in hosts)
    order = Request("POST", "/api/v3/order", {})

    refused = spot.heed(Answer(429, {"retry-after": "60"}, b""), order)

    assert refused
    assert spot.delay(order) > 0
    assert perpetual.delay(Request("POST", "/fapi/v1/order", {})) == 0
    assert kraken.delay(Request("GET", "/0/public/Depth", {})) == 0
    assert budgets.of(f"{here}/", limits_of(hosts[0]), "key") is spot


# --- requests


async def test_a_refusal_is_an_error_and_the_next_request_waits() -> None:
    venue = FakeVenue()
    venue.replies = [Answer(429, {"retry-after": "7"}, b"slow down"), Answer(200, {}, b"here")]
    rest = Rest("https://fake", venue, Budgets(venue.pulse), venue.pulse)

    with pytest.raises(VenueError, match="429"):
        await rest.fetch("GET", "/depth", {})
    again = asyncio.ensure_future(rest.fetch("GET", "/depth", {}))
    await venue.pulse.advance(6.9)
    early = again.done()
    await venue.pulse.advance(0.2)

    assert not early
    assert await again == b"here"


async def test_an_answer_that_is_no_success_is_an_error_with_its_text() -> None:
    venue = FakeVenue()
    venue.replies = [Answer(502, {}, b"<html>Bad Gateway</html>")]
    rest = Rest("https://fake", venue, Budgets(venue.pulse), venue.pulse)

    with pytest.raises(VenueError, match="502: <html>"):
        await rest.fetch("GET", "/depth", {})


async def test_an_answer_that_never_comes_is_given_up() -> None:
    pulse = HandPulse()
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    with pytest.raises(DisconnectedError, match="longer than 5 s"):
        await result_of(within(pulse, 5.0, never, "It"), pulse)

    assert never.cancelled()


# --- backoff


def test_pauses_grow_to_a_limit_and_start_anew_after_a_steady_connection() -> None:
    backoff = Backoff(lambda: 1.0 - 1e-12, first=1.0, longest=60.0, steady=60.0)

    pauses = [round(backoff.delay(1.0), 3) for _ in range(9)]

    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert round(backoff.delay(3_600.0), 3) == 1.0


def test_no_two_processes_come_back_at_the_same_moment() -> None:
    pauses = {Backoff(lambda draw=draw: draw / 10).delay() for draw in range(10)}  # type: ignore[misc]

    assert len(pauses) == 10
    assert min(pauses) >= 0.25
